//! Partial answers, where a fault asks for them.

use std::time::Duration;

use serde_json::{Value, json};

use super::Cloud;
use crate::fault::part::{add_failure, fail_one, leave_one_out, refuse_one};
use crate::wire::json::text;
use crate::wire::{Body, Call, Reply};

impl Cloud {
    /// Returns one page with less on it than there is: an empty first one, or one item of each
    /// later page.
    pub(super) fn partial_page(&mut self, call: &Call, lag: Option<Duration>) -> Reply {
        let further = match &call.body {
            Body::Json(body) => text(body, "nextToken").is_some(),
            Body::Form(params) => params.get("NextToken").or(params.get("Marker")).is_some(),
            // DynamoDB's answers are cut before they leave the database.
            Body::Text(_) => false,
        };
        let call = Call { page_size: Some(usize::from(further)), ..call.clone() };
        self.answer(&call, lag)
    }

    /// Returns an answer of which one entry failed.
    pub(super) fn with_failure(&mut self, call: &Call, lag: Option<Duration>) -> Reply {
        let number = self.calls;
        if call.operation == "UpdateContainerInstancesState" {
            return self.refuse_state(call, number);
        }
        self.changed(call, lag, |body| fail_one(&call.operation, body, number))
    }

    /// Returns an answer without an entry for one of the requested things.
    pub(super) fn with_one_left_out(&mut self, call: &Call, lag: Option<Duration>) -> Reply {
        let number = self.calls;
        self.changed(call, lag, |body| leave_one_out(&call.operation, body, number))
    }

    /// Returns the answer after `change`, or an error as it is.
    fn changed(
        &mut self,
        call: &Call,
        lag: Option<Duration>,
        change: impl FnOnce(&str) -> Option<String>,
    ) -> Reply {
        let mut reply = self.answer(call, lag);
        if reply.error.is_none()
            && let Some(body) = change(&reply.body)
        {
            reply.body = body;
        }
        reply
    }

    /// Carries out a change of state for all container instances but one, and reports that one as
    /// failed.
    fn refuse_state(&mut self, call: &Call, number: u64) -> Reply {
        let mut rest = call.clone();
        let (refused, others) = match &mut rest.body {
            Body::Json(body) => (
                refuse_one(body, number),
                body.get("containerInstances").and_then(Value::as_array).map_or(0, Vec::len),
            ),
            Body::Form(_) | Body::Text(_) => (None, 0),
        };
        let Some(refused) = refused else { return self.answer(call, None) };
        let mut reply = if others > 0 {
            self.answer(&rest, None)
        } else {
            self.reply(call, Ok(json!({ "containerInstances": [], "failures": [] }).to_string()))
        };
        if reply.error.is_none()
            && let Ok(mut body) = serde_json::from_str(&reply.body)
        {
            add_failure(&mut body, &refused);
            reply.body = body.to_string();
        }
        reply
    }
}
