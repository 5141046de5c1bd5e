//! Carries out what was decided, after it was saved. Done now, already done and gone are all successes: whether the
//! world has changed is seen by the next look, never concluded from an answer.

use crate::aws::{AwsError, Session, State};
use ecs_drain_state::{Action, CompletionAnswer, Record};
use futures_util::stream::{self, StreamExt};
use std::collections::BTreeMap;

/// How many drains are acted for at once; the actions of one drain are done in order.
const AT_ONCE: usize = 16;

/// What one drain wants done.
pub struct Order<'a> {
    /// Its record, as it was saved.
    pub record: &'a Record,
    /// What to do, in order.
    pub actions: Vec<Action>,
}

/// What came of it, for one drain.
#[derive(Debug, Default)]
pub struct Report {
    /// What Auto Scaling answered, if it was told.
    pub completion: Option<CompletionAnswer>,
    /// What failed. The next pass tries again.
    pub errors: Vec<AwsError>,
}

/// Carries out the orders of one pass; the answer has one report for each, in the same order. Container instances of
/// one cluster are changed together, ten a call.
pub async fn act(session: &Session, orders: &[Order<'_>]) -> Vec<Report> {
    let mut reports: Vec<Report> = orders.iter().map(|_| Report::default()).collect();
    set_states(session, orders, &mut reports).await;
    stream::iter(orders.iter().zip(&mut reports))
        .for_each_concurrent(AT_ONCE, |(order, report)| async move {
            for action in &order.actions {
                one(session, order.record, action, report).await;
            }
        })
        .await;
    reports
}

async fn set_states(session: &Session, orders: &[Order<'_>], reports: &mut [Report]) {
    let mut draining: BTreeMap<&str, Vec<(usize, String)>> = BTreeMap::new();
    let mut active: BTreeMap<&str, Vec<(usize, String)>> = BTreeMap::new();
    for (index, order) in orders.iter().enumerate() {
        for action in &order.actions {
            match action {
                Action::SetDraining { cluster, container_instance } => {
                    draining.entry(cluster).or_default().push((index, container_instance.clone()));
                }
                Action::SetActive { cluster, container_instance } => {
                    active.entry(cluster).or_default().push((index, container_instance.clone()));
                }
                Action::StopTask { .. }
                | Action::Deregister { .. }
                | Action::Complete(_)
                | Action::Terminate { .. } => {}
            }
        }
    }
    for (state, wanted) in [(State::Draining, draining), (State::Active, active)] {
        for (cluster, wanted) in wanted {
            let arns: Vec<String> = wanted.iter().map(|(_, arn)| arn.clone()).collect();
            match session.ecs.set_state(cluster, &arns, state).await {
                Ok(answers) => {
                    for (arn, answer) in answers {
                        let owner = wanted.iter().find(|(_, a)| *a == arn);
                        if let (Some((index, _)), Err(error)) = (owner, answer) {
                            reports[*index].errors.push(error);
                        }
                    }
                }
                Err(error) => {
                    for (index, _) in &wanted {
                        reports[*index].errors.push(error.clone());
                    }
                }
            }
        }
    }
}

async fn one(session: &Session, record: &Record, action: &Action, report: &mut Report) {
    let answer = match action {
        // Done above, for all drains of a cluster at once.
        Action::SetDraining { .. } | Action::SetActive { .. } => return,
        Action::StopTask { cluster, task } => {
            let reason = format!("ecs-drain: {} is taken out of service", record.instance_id);
            session.ecs.stop_task(cluster, task, &reason).await
        }
        Action::Deregister { cluster, container_instance } => session.ecs.deregister(cluster, container_instance).await,
        Action::Terminate { group, shrink } => session.autoscaling.terminate(group, &record.instance_id, *shrink).await,
        Action::Complete(intent) => {
            let Some(lifecycle) = &record.lifecycle else { return };
            let told =
                session.urgent.complete(&lifecycle.group, &lifecycle.hook, &record.instance_id, intent.result).await;
            report.completion = Some(match told {
                Ok(answer) => answer,
                Err(error) => {
                    let what = error.to_string();
                    report.errors.push(error);
                    CompletionAnswer::Failed(what)
                }
            });
            return;
        }
    };
    if let Err(error) = answer {
        report.errors.push(error);
    }
}
