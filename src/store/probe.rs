//! Checks that each kind of call on the table is allowed, and changes nothing: reads are made, and
//! writes have a condition that cannot hold.

use super::schema::KEY;
use super::{Store, StoreError, lease};
use crate::aws::calls::{
    BATCH_GET_ITEM, Call, DELETE_ITEM, GET_ITEM, PUT_ITEM, QUERY, UPDATE_ITEM,
};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::AttributeValue;

/// A key that does not exist: no kind of item has this prefix.
const NOBODY: &str = "doctor/nobody";

/// The condition that cannot hold for it.
const EXISTS: &str = "attribute_exists(#key)";

impl Store {
    /// Makes each kind of call that a controller makes on a table of the right shape, by IAM
    /// action.
    pub(crate) async fn probe(&self) -> Vec<(&'static str, Result<(), StoreError>)> {
        let key = || AttributeValue::S(NOBODY.to_owned());
        let put = self.records.put_item().table_name(self.table()).item(KEY, key());
        let put = put.condition_expression(EXISTS).expression_attribute_names("#key", KEY);
        let update = self.records.update_item().table_name(self.table()).key(KEY, key());
        let update =
            update.update_expression("SET #nothing = :nothing").condition_expression(EXISTS);
        let update = update
            .expression_attribute_names("#key", KEY)
            .expression_attribute_names("#nothing", "nothing");
        let update = update.expression_attribute_values(":nothing", AttributeValue::Bool(true));
        // The policy allows deletion of the lease only, and no renewal has this name.
        let lease = AttributeValue::S(format!("{}{}", lease::KEY_PREFIX, self.controller));
        let delete = self.records.delete_item().table_name(self.table()).key(KEY, lease);
        let delete = delete
            .condition_expression("#version = :nobody")
            .expression_attribute_names("#version", lease::VERSION);
        let delete =
            delete.expression_attribute_values(":nobody", AttributeValue::S(NOBODY.to_owned()));
        vec![
            (GET_ITEM.iam_action, self.get(NOBODY).await.map(|_| ())),
            (BATCH_GET_ITEM.iam_action, self.get_many(&[NOBODY.to_owned()]).await.map(|_| ())),
            (QUERY.iam_action, self.unfinished().await.map(|_| ())),
            (PUT_ITEM.iam_action, self.refused(&PUT_ITEM, put.send().await)),
            (UPDATE_ITEM.iam_action, self.refused(&UPDATE_ITEM, update.send().await)),
            (DELETE_ITEM.iam_action, self.refused(&DELETE_ITEM, delete.send().await)),
        ]
    }

    /// Checks that a write was refused because of its condition.
    fn refused<T, E>(
        &self,
        call: &'static Call,
        answer: Result<T, SdkError<E>>,
    ) -> Result<(), StoreError>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        match answer {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(()),
            Err(error) => Err(self.place.failed(call, &error)),
        }
    }
}
