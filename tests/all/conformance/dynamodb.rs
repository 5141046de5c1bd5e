//! DynamoDB: the behaviour that the store relies on.

use super::told::{Told, ensure, refused, same};
use super::world::World;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, KeysAndAttributes, ReturnValue,
    ReturnValuesOnConditionCheckFailure as OnRefusal, TimeToLiveSpecification,
};
use futures_util::future::join_all;
use std::collections::{BTreeSet, HashMap};

type Item = HashMap<String, AttributeValue>;

const NO_TABLE: &str = "no-such-table";

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn item(fields: &[(&str, AttributeValue)]) -> Item {
    fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

async fn put(w: &World, table: &str, fields: &[(&str, AttributeValue)]) -> Told {
    w.dynamodb.put_item().table_name(table).set_item(Some(item(fields))).send().await?;
    Ok(())
}

async fn get(w: &World, table: &str, key: &str) -> Told<Option<Item>> {
    let get = w.dynamodb.get_item().table_name(table).key("key", text(key)).consistent_read(true);
    Ok(get.send().await?.item)
}

/// Returns the items of `main` in the index, in its order.
async fn indexed(w: &World, table: &str) -> Told<Vec<Item>> {
    let query = w.dynamodb.query().table_name(table).index_name("unfinished");
    let query = query
        .key_condition_expression("unfinished_of = :of")
        .expression_attribute_values(":of", text("main"));
    Ok(query.send().await?.items.unwrap_or_default())
}

fn keys(items: &[Item]) -> Vec<&str> {
    items.iter().filter_map(|item| item.get("key")?.as_s().ok()).map(String::as_str).collect()
}

/// (Source: DynamoDB API reference, ResourceNotFoundException.)
pub async fn an_unknown_table_is_not_found(w: &World) -> Told {
    let get = w.dynamodb.get_item().table_name(NO_TABLE).key("key", text("a")).send().await;
    refused("GetItem", get)?.is(400, "ResourceNotFoundException")?;
    let put = w.dynamodb.put_item().table_name(NO_TABLE).item("key", text("a")).send().await;
    refused("PutItem", put)?.is(400, "ResourceNotFoundException")?;
    let scan = w.dynamodb.scan().table_name(NO_TABLE).send().await;
    refused("Scan", scan)?.is(400, "ResourceNotFoundException")?;
    let wanted = KeysAndAttributes::builder().keys(item(&[("key", text("a"))])).build().unwrap();
    let batch = w.dynamodb.batch_get_item().request_items(NO_TABLE, wanted).send().await;
    refused("BatchGetItem", batch)?.is(400, "ResourceNotFoundException")?;
    let describe = w.dynamodb.describe_table().table_name(NO_TABLE).send().await;
    refused("DescribeTable", describe)?.is(400, "ResourceNotFoundException")
}

/// (Source: DynamoDB API reference, DescribeTimeToLive.)
pub async fn an_unknown_table_has_no_time_to_live(w: &World) -> Told {
    let ttl = w.dynamodb.describe_time_to_live().table_name(NO_TABLE).send().await;
    refused("DescribeTimeToLive", ttl)?.is(400, "ResourceNotFoundException")
}

/// (Source: DynamoDB API reference, CreateTable.)
pub async fn a_table_is_made_once(w: &World) -> Told {
    w.table().await?;
    let again = w.table().await;
    let refusal = again.err().map(|complaint| complaint.0).unwrap_or_default();
    ensure!(refusal.contains("400 ResourceInUseException"), "the second time: {refusal:?}");
    Ok(())
}

/// (Source: DynamoDB API reference, TableDescription.)
pub async fn a_table_describes_its_keys_and_its_index(w: &World) -> Told {
    let table = w.table().await?;
    let described = w.dynamodb.describe_table().table_name(&table).send().await?.table;
    ensure!(described.is_some(), "no description");
    let described = described.unwrap();
    let names: Vec<_> =
        described.key_schema().iter().map(|element| element.attribute_name()).collect();
    same("key", names, ["key"])?;
    let index = described.global_secondary_indexes().first();
    let names = index
        .map(|index| index.key_schema().iter().map(|e| e.attribute_name()).collect::<Vec<_>>());
    same("index", names, Some(vec!["unfinished_of", "unfinished"]))?;
    let status = index.and_then(|index| index.index_status()).map(|status| status.as_str());
    same("its status", status, Some("ACTIVE"))?;
    let projection = index
        .and_then(|index| index.projection())
        .and_then(|projection| projection.projection_type());
    same("its projection", projection.map(|projection| projection.as_str()), Some("KEYS_ONLY"))
}

/// On request, the present item comes with the refusal. (Source: DynamoDB API reference, PutItem:
/// `ReturnValuesOnConditionCheckFailure`.)
pub async fn a_refused_put_shows_what_is_there(w: &World) -> Told {
    let table = w.table().await?;
    put(w, &table, &[("key", text("a")), ("write_id", text("first"))]).await?;
    for (wanted, shown) in [(OnRefusal::AllOld, Some("first")), (OnRefusal::None, None)] {
        let put = w
            .dynamodb
            .put_item()
            .table_name(&table)
            .item("key", text("a"))
            .item("write_id", text("second"));
        let put = put
            .condition_expression("attribute_not_exists(#key)")
            .expression_attribute_names("#key", "key");
        let answer = put.return_values_on_condition_check_failure(wanted).send().await;
        let item = match answer.as_ref().err().and_then(|error| error.as_service_error()) {
            Some(PutItemError::ConditionalCheckFailedException(refusal)) => refusal.item().cloned(),
            _ => None,
        };
        refused("PutItem", answer)?.is(400, "ConditionalCheckFailedException")?;
        let write =
            item.as_ref().and_then(|item| item.get("write_id")?.as_s().ok()).map(String::as_str);
        same("the item of the refusal", write, shown)?;
    }
    let write = get(w, &table, "a").await?.and_then(|item| item.get("write_id").cloned());
    same("what is there", write, Some(text("first")))
}

/// (Source: DynamoDB API reference, UpdateItem.)
pub async fn a_refused_update_changes_nothing(w: &World) -> Told {
    let table = w.table().await?;
    put(w, &table, &[("key", text("a")), ("version", number(2))]).await?;
    let update = w.dynamodb.update_item().table_name(&table).key("key", text("a"));
    let update = update
        .update_expression("SET #version = :next")
        .expression_attribute_names("#version", "version");
    let update = update.condition_expression("attribute_exists(#key) AND #version = :seen");
    let update = update
        .expression_attribute_names("#key", "key")
        .expression_attribute_values(":seen", number(1));
    let update = update.expression_attribute_values(":next", number(9));
    let update = update.return_values_on_condition_check_failure(OnRefusal::AllOld).send().await;
    let item = match update.as_ref().err().and_then(|error| error.as_service_error()) {
        Some(UpdateItemError::ConditionalCheckFailedException(refusal)) => refusal.item().cloned(),
        _ => None,
    };
    refused("UpdateItem", update)?.is(400, "ConditionalCheckFailedException")?;
    same(
        "the item of the refusal",
        item.and_then(|item| item.get("version").cloned()),
        Some(number(2)),
    )?;
    same(
        "what is there",
        get(w, &table, "a").await?.and_then(|item| item.get("version").cloned()),
        Some(number(2)),
    )
}

/// Unless a condition forbids it. (Source: DynamoDB API reference, UpdateItem.)
pub async fn an_update_makes_an_item_that_is_not_there(w: &World) -> Told {
    let table = w.table().await?;
    let update = || {
        let update = w.dynamodb.update_item().table_name(&table).key("key", text("a"));
        update.update_expression("SET note = :note").expression_attribute_values(":note", text("x"))
    };
    let forbidden = update()
        .condition_expression("attribute_exists(#key)")
        .expression_attribute_names("#key", "key");
    refused("UpdateItem", forbidden.send().await)?.is(400, "ConditionalCheckFailedException")?;
    same("an item", get(w, &table, "a").await?, None)?;
    update().send().await?;
    same(
        "an item",
        get(w, &table, "a").await?,
        Some(item(&[("key", text("a")), ("note", text("x"))])),
    )
}

/// SET and REMOVE work together, and an absent attribute is removed with success. (Source: DynamoDB
/// developer guide, "Update expressions".)
pub async fn an_update_sets_and_removes(w: &World) -> Told {
    let table = w.table().await?;
    put(w, &table, &[("key", text("a")), ("old", text("x")), ("kept", text("y"))]).await?;
    let update = w.dynamodb.update_item().table_name(&table).key("key", text("a"));
    let update = update.update_expression("SET #new = :new REMOVE #old, #never");
    let update =
        update.expression_attribute_names("#new", "new").expression_attribute_names("#old", "old");
    let update = update
        .expression_attribute_names("#never", "never")
        .expression_attribute_values(":new", text("z"));
    update.send().await?;
    let wanted = item(&[("key", text("a")), ("new", text("z")), ("kept", text("y"))]);
    same("the item", get(w, &table, "a").await?, Some(wanted))
}

/// (Source: DynamoDB developer guide, "Update expressions": the path's parents must be there.)
pub async fn a_path_without_its_parent_cannot_be_set(w: &World) -> Told {
    let table = w.table().await?;
    put(w, &table, &[("key", text("a"))]).await?;
    let update = w.dynamodb.update_item().table_name(&table).key("key", text("a"));
    let update = update
        .update_expression("SET held.place = :why")
        .expression_attribute_values(":why", text("x"));
    refused("UpdateItem", update.send().await)?.is(400, "ValidationException")
}

/// (Source: DynamoDB developer guide, "Comparison operator and function reference".)
pub async fn a_condition_can_ask_for_an_attribute_s_type(w: &World) -> Told {
    let table = w.table().await?;
    put(w, &table, &[("key", text("a")), ("version", number(1))]).await?;
    put(w, &table, &[("key", text("b")), ("version", text("1"))]).await?;
    let take = |key: &str| {
        let update = w.dynamodb.update_item().table_name(&table).key("key", text(key));
        let update = update
            .update_expression("SET #version = :mine")
            .expression_attribute_names("#version", "version");
        let update = update.condition_expression(
            "attribute_not_exists(#version) OR NOT attribute_type(#version, :s)",
        );
        update
            .expression_attribute_values(":s", text("S"))
            .expression_attribute_values(":mine", text("2"))
    };
    take("a").send().await?;
    take("c").send().await?;
    refused("UpdateItem", take("b").send().await)?.is(400, "ConditionalCheckFailedException")
}

/// (Source: DynamoDB API reference, DeleteItem.)
pub async fn an_item_is_deleted_on_condition_and_twice(w: &World) -> Told {
    let table = w.table().await?;
    put(w, &table, &[("key", text("a")), ("holder", text("me"))]).await?;
    let delete = |holder: &str| {
        let delete = w.dynamodb.delete_item().table_name(&table).key("key", text("a"));
        delete
            .condition_expression("holder = :holder")
            .expression_attribute_values(":holder", text(holder))
    };
    refused("DeleteItem", delete("you").send().await)?
        .is(400, "ConditionalCheckFailedException")?;
    let gone = delete("me").return_values(ReturnValue::AllOld).send().await?.attributes;
    same("what was deleted", gone, Some(item(&[("key", text("a")), ("holder", text("me"))])))?;
    same("an item", get(w, &table, "a").await?, None)?;
    w.dynamodb.delete_item().table_name(&table).key("key", text("a")).send().await?;
    Ok(())
}

/// Of ten writers at once on the same condition, one succeeds. (Source: DynamoDB developer guide,
/// "Conditional writes".)
pub async fn of_ten_writers_one_wins(w: &World) -> Told {
    let table = w.table().await?;
    let writers = (0..10).map(|n| {
        let put = w
            .dynamodb
            .put_item()
            .table_name(&table)
            .item("key", text("a"))
            .item("write_id", number(n));
        put.condition_expression("attribute_not_exists(#key)")
            .expression_attribute_names("#key", "key")
            .send()
    });
    let mut won = 0;
    for answer in join_all(writers).await {
        match answer {
            Ok(_) => won += 1,
            lost => refused("PutItem", lost)?.is(400, "ConditionalCheckFailedException")?,
        }
    }
    same("writers that won", won, 1)
}

/// A consistent read shows the last write; for an unknown item the answer has none. (Source:
/// DynamoDB API reference, GetItem.)
pub async fn a_consistent_read_shows_the_last_write(w: &World) -> Told {
    let table = w.table().await?;
    same("an item", get(w, &table, "a").await?, None)?;
    for version in 1..=20 {
        put(w, &table, &[("key", text("a")), ("version", number(version))]).await?;
        same(
            "version",
            get(w, &table, "a").await?.and_then(|item| item.get("version").cloned()),
            Some(number(version)),
        )?;
    }
    Ok(())
}

/// The index has only items with both of its keys, and only their keys; an item that loses one
/// leaves it. It lags by moments. (Source: DynamoDB developer guide, "Global secondary indexes" and
/// "Sparse indexes".)
pub async fn an_index_is_sparse_and_of_keys_only(w: &World) -> Told {
    let table = w.table().await?;
    let fields = |key: &str, order: &str| {
        [
            ("key", text(key)),
            ("unfinished_of", text("main")),
            ("unfinished", text(order)),
            ("note", text("x")),
        ]
    };
    put(w, &table, &fields("b", "2")).await?;
    put(w, &table, &fields("a", "1")).await?;
    put(w, &table, &[("key", text("c")), ("unfinished_of", text("main"))]).await?;
    let shown = w
        .until("two items in the index", 60, async || {
            let shown = indexed(w, &table).await?;
            Ok((shown.len() == 2).then_some(shown))
        })
        .await?;
    same("in the order of the sort key", keys(&shown), ["a", "b"])?;
    let names: BTreeSet<&str> = shown[0].keys().map(String::as_str).collect();
    same("attributes", names, BTreeSet::from(["key", "unfinished_of", "unfinished"]))?;
    let update = w.dynamodb.update_item().table_name(&table).key("key", text("a"));
    update.update_expression("REMOVE unfinished_of, unfinished").send().await?;
    w.until("one item in the index", 60, async || {
        Ok((keys(&indexed(w, &table).await?) == ["b"]).then_some(()))
    })
    .await
}

/// (Source: DynamoDB API reference, Query: `ConsistentRead`.)
pub async fn an_index_has_no_consistent_reads(w: &World) -> Told {
    let table = w.table().await?;
    let query =
        w.dynamodb.query().table_name(&table).index_name("unfinished").consistent_read(true);
    let query = query
        .key_condition_expression("unfinished_of = :of")
        .expression_attribute_values(":of", text("main"));
    refused("Query", query.send().await)?.is(400, "ValidationException")
}

/// By these words the program reports to a person that the table has another layout. (Source:
/// messages of DynamoDB that its users quote; the API reference has ValidationException alone.)
pub async fn an_unknown_index_is_said_in_known_words(w: &World) -> Told {
    let table = w.table().await?;
    let query = w
        .dynamodb
        .query()
        .table_name(&table)
        .index_name("another")
        .key_condition_expression("x = :x");
    let refusal =
        refused("Query", query.expression_attribute_values(":x", text("x")).send().await)?;
    refusal.is(400, "ValidationException")?;
    refusal.says("does not have the specified index")
}

/// The same source as above.
pub async fn a_key_that_does_not_fit_is_said_in_known_words(w: &World) -> Told {
    let table = w.table().await?;
    let get = w.dynamodb.get_item().table_name(&table).key("id", text("a")).send().await;
    let refusal = refused("GetItem", get)?;
    refusal.is(400, "ValidationException")?;
    refusal.says("does not match the schema")?;
    let put = w.dynamodb.put_item().table_name(&table).item("id", text("a")).send().await;
    let refusal = refused("PutItem", put)?;
    refusal.is(400, "ValidationException")?;
    refusal.says("missing the key")?;
    let put = w
        .dynamodb
        .put_item()
        .table_name(&table)
        .item("key", text("a"))
        .item("unfinished_of", number(1));
    let refusal = refused("PutItem", put.item("unfinished", text("1")).send().await)?;
    refusal.is(400, "ValidationException")?;
    refusal.says("type mismatch for index key")
}

/// A page ends with a key from which the next one starts. (Source: DynamoDB API reference, Query:
/// `Limit` and `LastEvaluatedKey`.)
pub async fn a_query_comes_in_pages(w: &World) -> Told {
    let table = w.table().await?;
    for n in 0..5 {
        let order = text(&n.to_string());
        let fields = [
            ("key", text(&format!("k{n}"))),
            ("unfinished_of", text("main")),
            ("unfinished", order),
        ];
        put(w, &table, &fields).await?;
    }
    w.until("five items in the index", 60, async || {
        Ok((indexed(w, &table).await?.len() == 5).then_some(()))
    })
    .await?;
    let (mut seen, mut from) = (Vec::new(), None);
    for _ in 0..10 {
        let query = w.dynamodb.query().table_name(&table).index_name("unfinished").limit(2);
        let query =
            query.key_condition_expression("unfinished_of = :of").set_exclusive_start_key(from);
        let page = query.expression_attribute_values(":of", text("main")).send().await?;
        ensure!(page.items().len() <= 2, "a page of {}", page.items().len());
        seen.extend(keys(page.items()).into_iter().map(str::to_owned));
        from = page.last_evaluated_key;
        if from.is_none() {
            break;
        }
    }
    same("all pages", seen, ["k0", "k1", "k2", "k3", "k4"])
}

/// Without `Limit` a page ends at 1 MB. (Source: DynamoDB API reference, Query and Scan.)
pub async fn a_page_is_a_megabyte_at_most(w: &World) -> Told {
    let table = w.table().await?;
    for n in 0..5 {
        put(w, &table, &[("key", text(&n.to_string())), ("long", text(&"x".repeat(300_000)))])
            .await?;
    }
    let page = w.dynamodb.scan().table_name(&table).send().await?;
    ensure!(
        page.items().len() < 5 && page.last_evaluated_key().is_some(),
        "{} items in a page",
        page.items().len()
    );
    let rest = w
        .dynamodb
        .scan()
        .table_name(&table)
        .set_exclusive_start_key(page.last_evaluated_key.clone());
    same("all pages", page.items().len() + rest.send().await?.items().len(), 5)
}

/// (Source: DynamoDB developer guide, "Constraints": 400 KB.)
pub async fn an_item_is_400_kilobytes_at_most(w: &World) -> Told {
    let table = w.table().await?;
    put(w, &table, &[("key", text("a")), ("long", text(&"x".repeat(399_000)))]).await?;
    let long = text(&"x".repeat(400 * 1024));
    let put = w
        .dynamodb
        .put_item()
        .table_name(&table)
        .item("key", text("b"))
        .item("long", long)
        .send()
        .await;
    refused("PutItem", put)?.is(400, "ValidationException")
}

/// Unknown keys are left out; a hundred keys at most, none of them twice. (Source: DynamoDB API
/// reference, BatchGetItem.)
pub async fn a_batch_is_of_a_hundred_different_keys(w: &World) -> Told {
    let table = w.table().await?;
    for n in 0..3 {
        put(w, &table, &[("key", text(&n.to_string()))]).await?;
    }
    let ask = |wanted: Vec<String>| {
        let keys = wanted.iter().map(|key| item(&[("key", text(key))])).collect();
        let wanted = KeysAndAttributes::builder()
            .consistent_read(true)
            .set_keys(Some(keys))
            .build()
            .unwrap();
        w.dynamodb.batch_get_item().request_items(&table, wanted).send()
    };
    let answer = ask((0..100).map(|n| n.to_string()).collect()).await?;
    let found = answer.responses().and_then(|found| found.get(&table)).map(|items| keys(items));
    same(
        "found",
        found.into_iter().flatten().collect::<BTreeSet<_>>(),
        BTreeSet::from(["0", "1", "2"]),
    )?;
    let left = answer.unprocessed_keys().is_none_or(HashMap::is_empty);
    ensure!(left, "unprocessed: {:?}", answer.unprocessed_keys());
    let many = ask((0..101).map(|n| n.to_string()).collect()).await;
    refused("BatchGetItem of 101", many)?.is(400, "ValidationException")?;
    let twice = ask(vec!["1".to_owned(), "1".to_owned()]).await;
    refused("BatchGetItem of the same", twice)?.is(400, "ValidationException")
}

/// Above 16 MB a batch is answered in part, with the remaining keys. (Source: DynamoDB API
/// reference, BatchGetItem.)
pub async fn a_batch_of_more_than_16_megabytes_is_answered_in_part(w: &World) -> Told {
    let table = w.table().await?;
    let long = "x".repeat(390_000);
    for n in 0..45 {
        put(w, &table, &[("key", text(&n.to_string())), ("long", text(&long))]).await?;
    }
    let keys = (0..45).map(|n| item(&[("key", text(&n.to_string()))])).collect();
    let wanted =
        KeysAndAttributes::builder().consistent_read(true).set_keys(Some(keys)).build().unwrap();
    let answer = w.dynamodb.batch_get_item().request_items(&table, wanted).send().await?;
    let found = answer.responses().and_then(|found| found.get(&table)).map_or(0, Vec::len);
    let left = answer
        .unprocessed_keys()
        .and_then(|left| left.get(&table))
        .map_or(0, |left| left.keys().len());
    ensure!(found > 0 && left > 0 && found + left == 45, "{found} found, {left} left of 45");
    Ok(())
}

/// Its description names the attribute, and it cannot be turned on twice. (Source: DynamoDB API
/// reference, UpdateTimeToLive and DescribeTimeToLive; the refusal is quoted in
/// cloudposse/terraform-aws-dynamodb#94.)
pub async fn time_to_live_is_turned_on_once(w: &World) -> Told {
    let table = w.table().await?;
    let described = w
        .dynamodb
        .describe_time_to_live()
        .table_name(&table)
        .send()
        .await?
        .time_to_live_description;
    let status = described.and_then(|ttl| ttl.time_to_live_status);
    same("at first", status.as_ref().map(|status| status.as_str()), Some("DISABLED"))?;
    let ttl = || {
        TimeToLiveSpecification::builder()
            .enabled(true)
            .attribute_name("expires_at")
            .build()
            .unwrap()
    };
    let update = || {
        w.dynamodb.update_time_to_live().table_name(&table).time_to_live_specification(ttl()).send()
    };
    update().await?;
    let described = w
        .dynamodb
        .describe_time_to_live()
        .table_name(&table)
        .send()
        .await?
        .time_to_live_description;
    let described = described.map(|ttl| (ttl.time_to_live_status, ttl.attribute_name));
    let (status, name) = described.unwrap_or_default();
    ensure!(
        status.as_ref().is_some_and(|status| ["ENABLING", "ENABLED"].contains(&status.as_str())),
        "then: {status:?}"
    );
    same("attribute", name.as_deref(), Some("expires_at"))?;
    refused("UpdateTimeToLive", update().await)?.is(400, "ValidationException")
}

/// Until it is deleted, which takes days, it can be read and written. (Source: DynamoDB developer
/// guide, "Working with expired items".)
pub async fn an_expired_item_is_still_there(w: &World) -> Told {
    let table = w.table().await?;
    let ttl = TimeToLiveSpecification::builder()
        .enabled(true)
        .attribute_name("expires_at")
        .build()
        .unwrap();
    w.dynamodb
        .update_time_to_live()
        .table_name(&table)
        .time_to_live_specification(ttl)
        .send()
        .await?;
    // The first of January 2026.
    put(w, &table, &[("key", text("a")), ("expires_at", number(1_767_225_600))]).await?;
    ensure!(get(w, &table, "a").await?.is_some(), "it is gone");
    let update = w.dynamodb.update_item().table_name(&table).key("key", text("a"));
    let update = update
        .update_expression("REMOVE expires_at")
        .condition_expression("attribute_exists(#key)");
    update.expression_attribute_names("#key", "key").send().await?;
    Ok(())
}
