//! Lifecycle actions: each is the wait of one instance under one hook.
//!
//! Each hook of a group opens an action of its own, with its own token and timers. The actions run
//! in parallel; the wait is over when all have ended. CONTINUE leaves the others open; ABANDON ends
//! them at once. Source: Amazon ECS guide, "Managed instance draining"; EC2 Auto Scaling guide,
//! "Lifecycle hooks".

use super::member::Member;
use super::state::Stage;
use super::{AutoScaling, Effect, HookSpec, notices};
use crate::SimTime;
use crate::wire::ApiError;

/// The transition at which a hook makes an instance wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// `autoscaling:EC2_INSTANCE_LAUNCHING`.
    Launching,
    /// `autoscaling:EC2_INSTANCE_TERMINATING`.
    Terminating,
}

impl Transition {
    /// Returns `LifecycleTransition` as the API writes it.
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
    /// Returns the result as the API writes it.
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

/// The cause of a lifecycle action's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// A call of CompleteLifecycleAction.
    Called,
    /// The heartbeat timeout or the global timeout passed.
    TimedOut,
    /// The hook was deleted.
    HookDeleted,
    /// Another hook of the same instance ended with ABANDON.
    OtherAbandoned,
    /// The instance started another journey during the wait: it was terminated while it waited for
    /// a new root volume. That the action ends then, without its hook's result, is the simulator's
    /// choice.
    Overtaken,
}

/// The end of a lifecycle action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The moment at which the action had begun.
    pub began_at: SimTime,
    /// The moment of its end.
    pub at: SimTime,
    /// The group.
    pub group: String,
    /// The hook.
    pub hook: String,
    /// The instance.
    pub instance_id: String,
    /// Its result.
    pub result: LifecycleResult,
    /// Its cause.
    pub how: How,
}

/// A lifecycle action that holds an instance. AWS has no operation that lists these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingAction {
    /// The hook.
    pub hook: String,
    /// The token of this action, a UUID.
    pub token: String,
    /// The transition at which the instance waits.
    pub transition: Transition,
    /// The moment at which it began.
    pub started_at: SimTime,
    /// The moment at which it ends unless a heartbeat comes first.
    pub expires_at: SimTime,
    /// The moment of the global timeout: no heartbeat moves it.
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

/// The two ways in which a request can name an action: by instance id or by token.
pub(super) enum Name<'a> {
    Token(&'a str),
    Instance(&'a str),
}

impl AutoScaling {
    /// Returns true if this hook's action holds this instance at this moment.
    pub fn active_action(&self, now: SimTime, group: &str, hook: &str, instance_id: &str) -> bool {
        self.members.get(instance_id).is_some_and(|member| {
            member.group == group
                && member
                    .open_actions()
                    .any(|action| action.hook.name == hook && now < action.expires_at)
        })
    }

    /// Returns the actions that hold an instance.
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

    /// Returns the instance that the action with this token holds.
    pub(crate) fn held_by_token(&self, token: &str) -> Option<&str> {
        let held = |member: &&Member| member.open_actions().any(|action| action.token == token);
        self.members.values().find(held).map(|member| member.id.as_str())
    }

    /// Deletes a hook. Its open actions end at once: those of a terminating hook with CONTINUE,
    /// those of a launching hook with ABANDON. Source: Auto Scaling API reference,
    /// DeleteLifecycleHook. Returns false if there was no such hook.
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

    /// Opens an action for every hook that applies. Returns false if none does.
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

    /// Ends an action with its caller's result, or refuses if there is no such action.
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

    /// Restarts an action's heartbeat timeout; the global timeout remains the limit. Source: EC2
    /// Auto Scaling guide, "Complete a lifecycle action"; Auto Scaling API reference,
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

    /// Applies the default result of each action of this instance whose timeout has passed.
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

    /// Ends the open actions of an instance that starts another journey.
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

    /// Ends an open action and, with ABANDON, the others of this instance. When none is left, the
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

    /// Returns the instance that the named action holds. AWS answers the same error for all reasons
    /// why there is no such action: completed, timed out, abandoned by another hook, not yet
    /// waiting, a wrong hook's name. Source: messages quoted in
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
