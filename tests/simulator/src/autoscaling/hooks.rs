//! Lifecycle actions: what holds an instance in a wait state, and how each ends.
//!
//! Each hook of a group opens an action of its own, with its own token and timers, and they run in
//! parallel: the wait is over when all are. CONTINUE lets the others finish; ABANDON ends them at
//! once. Source: Amazon ECS guide, "Managed instance draining"; EC2 Auto Scaling guide, "Lifecycle
//! hooks".

use super::member::Member;
use super::state::Stage;
use super::{AutoScaling, Effect, HookSpec, notices};
use crate::SimTime;
use crate::wire::ApiError;

/// What a hook holds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// `autoscaling:EC2_INSTANCE_LAUNCHING`.
    Launching,
    /// `autoscaling:EC2_INSTANCE_TERMINATING`.
    Terminating,
}

impl Transition {
    /// `LifecycleTransition` as the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Launching => "autoscaling:EC2_INSTANCE_LAUNCHING",
            Self::Terminating => "autoscaling:EC2_INSTANCE_TERMINATING",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Launching, Self::Terminating]
            .into_iter()
            .find(|transition| transition.as_str() == text)
    }
}

/// The result of a lifecycle action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifecycleResult {
    /// `CONTINUE`.
    Continue,
    /// `ABANDON`. A terminating instance is terminated all the same, unless its group retains it.
    Abandon,
}

impl LifecycleResult {
    /// The result as the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Continue => "CONTINUE",
            Self::Abandon => "ABANDON",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Continue, Self::Abandon].into_iter().find(|result| result.as_str() == text)
    }
}

/// How a lifecycle action came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// By CompleteLifecycleAction.
    Called,
    /// It went without a heartbeat for too long, or reached its global timeout.
    TimedOut,
    /// Its hook was deleted.
    HookDeleted,
    /// Another hook of the same instance ended with ABANDON.
    OtherAbandoned,
    /// Its instance was sent elsewhere in mid-wait: terminated while it waited for a new root
    /// volume. That the action ends then, and without its hook's result, is the simulator's choice.
    Overtaken,
}

/// The end of a lifecycle action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// When the action had begun.
    pub began_at: SimTime,
    /// When.
    pub at: SimTime,
    /// The group.
    pub group: String,
    /// The hook.
    pub hook: String,
    /// The instance.
    pub instance_id: String,
    /// With which result.
    pub result: LifecycleResult,
    /// By whom or what.
    pub how: How,
}

/// A lifecycle action that holds an instance. AWS has no operation that lists these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingAction {
    /// The hook.
    pub hook: String,
    /// The token of this action, a UUID.
    pub token: String,
    /// What the hook holds up.
    pub transition: Transition,
    /// When it began.
    pub started_at: SimTime,
    /// When it ends without another heartbeat.
    pub expires_at: SimTime,
    /// When it ends whatever its heartbeats.
    pub global_expires_at: SimTime,
}

/// A lifecycle action of one instance, open until it has a result.
#[derive(Clone, Debug)]
pub(super) struct Action {
    pub(super) hook: HookSpec,
    pub(super) token: String,
    pub(super) started_at: SimTime,
    pub(super) expires_at: SimTime,
    pub(super) result: Option<LifecycleResult>,
}

impl Action {
    fn global_expires_at(&self) -> SimTime {
        self.started_at + self.hook.global_timeout()
    }
}

/// How a request names an action.
pub(super) enum Name<'a> {
    Token(&'a str),
    Instance(&'a str),
}

impl AutoScaling {
    /// Whether this hook's action holds this instance at this moment.
    pub fn active_action(&self, now: SimTime, group: &str, hook: &str, instance_id: &str) -> bool {
        self.members.get(instance_id).is_some_and(|member| {
            member.group == group
                && member
                    .open_actions()
                    .any(|action| action.hook.name == hook && now < action.expires_at)
        })
    }

    /// The actions that hold an instance.
    pub fn pending_actions(&self, instance_id: &str) -> Vec<PendingAction> {
        let Some(member) = self.members.get(instance_id) else { return Vec::new() };
        member
            .open_actions()
            .map(|action| PendingAction {
                hook: action.hook.name.clone(),
                token: action.token.clone(),
                transition: action.hook.transition,
                started_at: action.started_at,
                expires_at: action.expires_at,
                global_expires_at: action.global_expires_at(),
            })
            .collect()
    }

    /// The instance that the action with this token holds.
    pub(crate) fn held_by_token(&self, token: &str) -> Option<&str> {
        let held = |member: &&Member| member.open_actions().any(|action| action.token == token);
        self.members.values().find(held).map(|member| member.id.as_str())
    }

    /// Deletes a hook. Its outstanding actions end at once: those of a terminating hook with
    /// CONTINUE, those of a launching hook with ABANDON. Source: Auto Scaling API reference,
    /// DeleteLifecycleHook. Returns whether the hook was there.
    pub fn delete_hook(&mut self, now: SimTime, group: &str, hook: &str) -> bool {
        self.run_until(now);
        let Some(removed) = self.groups.get_mut(group).and_then(|group| group.hooks.remove(hook))
        else {
            return false;
        };
        let result = match removed.transition {
            Transition::Terminating => LifecycleResult::Continue,
            Transition::Launching => LifecycleResult::Abandon,
        };
        let held: Vec<String> = self
            .members_of(group)
            .filter(|member| member.open_actions().any(|action| action.hook.name == hook))
            .map(|member| member.id.clone())
            .collect();
        for id in held {
            self.finish(now, &id, hook, result, How::HookDeleted);
        }
        true
    }

    /// Opens an action for every hook that applies. Returns whether there was one.
    pub(super) fn open_actions(&mut self, now: SimTime, instance_id: &str) -> bool {
        let Some(member) = self.members.get_mut(instance_id) else { return false };
        let Some(group) = self.groups.get(&member.group) else { return false };
        let transition = member.journey.transition();
        for hook in group.hooks.values().filter(|hook| hook.transition == transition) {
            let expires_at = now + hook.heartbeat_timeout.min(hook.global_timeout());
            let token = crate::ids::uuid(&mut self.rng);
            self.notices.extend(notices::action_begun(&group.arn, member, hook, &token));
            member.actions.push(Action {
                hook: hook.clone(),
                token,
                started_at: now,
                expires_at,
                result: None,
            });
        }
        !member.actions.is_empty()
    }

    /// Ends an action as its caller asked, or says that there is none.
    pub(super) fn complete(
        &mut self,
        now: SimTime,
        group: &str,
        hook: &str,
        name: &Name<'_>,
        result: LifecycleResult,
    ) -> Result<(), ApiError> {
        let instance_id = self.holder(group, hook, name)?;
        self.finish(now, &instance_id, hook, result, How::Called);
        Ok(())
    }

    /// Restarts an action's timer at the hook's heartbeat timeout, never past its global timeout.
    /// Source: EC2 Auto Scaling guide, "Complete a lifecycle action"; Auto Scaling API reference,
    /// LifecycleHook.
    pub(super) fn heartbeat(
        &mut self,
        now: SimTime,
        group: &str,
        hook: &str,
        name: &Name<'_>,
    ) -> Result<(), ApiError> {
        let instance_id = self.holder(group, hook, name)?;
        if let Some(action) = self.open_action_mut(&instance_id, hook) {
            action.expires_at =
                (now + action.hook.heartbeat_timeout).min(action.global_expires_at());
        }
        self.reschedule(&instance_id);
        Ok(())
    }

    /// Applies the default result of every action of this instance that ran out of time.
    pub(super) fn expire_actions(&mut self, now: SimTime, instance_id: &str) {
        loop {
            let expired = self.members.get(instance_id).and_then(|member| {
                let action = member.open_actions().find(|action| action.expires_at <= now)?;
                Some((member.group.clone(), action.hook.name.clone(), action.hook.default_result))
            });
            let Some((group, hook, result)) = expired else { return };
            self.effects.push(Effect::HookTimedOut {
                group,
                hook: hook.clone(),
                instance_id: instance_id.to_owned(),
                result,
            });
            self.finish(now, instance_id, &hook, result, How::TimedOut);
        }
    }

    /// Ends the open actions of an instance that sets out elsewhere.
    pub(super) fn overtake_actions(&mut self, now: SimTime, instance_id: &str) {
        let Some(member) = self.members.get_mut(instance_id) else { return };
        for action in
            std::mem::take(&mut member.actions).into_iter().filter(|action| action.result.is_none())
        {
            self.completions.push(Completion {
                began_at: action.started_at,
                at: now,
                group: member.group.clone(),
                hook: action.hook.name,
                instance_id: instance_id.to_owned(),
                result: action.hook.default_result,
                how: How::Overtaken,
            });
        }
    }

    /// Ends an open action; with ABANDON, also the others of this instance. When none is left, the
    /// wait is over.
    fn finish(
        &mut self,
        now: SimTime,
        instance_id: &str,
        hook: &str,
        result: LifecycleResult,
        how: How,
    ) {
        let Some(member) = self.members.get_mut(instance_id) else { return };
        for action in member.actions.iter_mut().filter(|action| action.result.is_none()) {
            let how = match (action.hook.name == hook, result) {
                (true, _) => how,
                (false, LifecycleResult::Abandon) => How::OtherAbandoned,
                (false, LifecycleResult::Continue) => continue,
            };
            action.result = Some(result);
            self.completions.push(Completion {
                began_at: action.started_at,
                at: now,
                group: member.group.clone(),
                hook: action.hook.name.clone(),
                instance_id: instance_id.to_owned(),
                result,
                how,
            });
        }
        if member.stage == Stage::Wait && member.open_actions().next().is_none() {
            let abandoned =
                member.actions.iter().any(|action| action.result == Some(LifecycleResult::Abandon));
            self.end_wait(now, instance_id, abandoned);
        }
        self.reschedule(instance_id);
    }

    /// The instance that the named action holds. There are many reasons why there is none
    /// (completed, timed out, abandoned by another hook, not yet waiting, a wrong hook's name), and
    /// AWS says the same for all of them. Source: messages quoted in
    /// spacelift-io/terraform-aws-spacelift-workerpool-on-ec2#197 and convox/rack#2432.
    fn holder(&self, group: &str, hook: &str, name: &Name<'_>) -> Result<String, ApiError> {
        self.require_group(group)?;
        match name {
            Name::Token(token) => self
                .members_of(group)
                .find(|member| {
                    member
                        .open_actions()
                        .any(|action| action.hook.name == hook && action.token == *token)
                })
                .map(|member| member.id.clone())
                .ok_or_else(|| no_active_action(&format!("token {token}"))),
            Name::Instance(instance_id) => self
                .members
                .get(*instance_id)
                .filter(|member| {
                    member.group == group
                        && member.open_actions().any(|action| action.hook.name == hook)
                })
                .map(|member| member.id.clone())
                .ok_or_else(|| no_active_action(&format!("instance ID {instance_id}"))),
        }
    }

    fn open_action_mut(&mut self, instance_id: &str, hook: &str) -> Option<&mut Action> {
        let member = self.members.get_mut(instance_id)?;
        member.actions.iter_mut().find(|action| action.result.is_none() && action.hook.name == hook)
    }
}

fn no_active_action(with: &str) -> ApiError {
    ApiError::validation_error(format!("No active Lifecycle Action found with {with}"))
}
