use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::Shared;
use super::call::Request;
use super::forward::send;
use crate::faults::mix;

/// Older snapshots of the index, to respond to queries. An index trails its table, and each item has its own
/// delay. The age counts queries, not time.
#[derive(Debug, Default)]
pub(super) struct IndexSnapshots(Mutex<HashMap<String, Stock>>);

/// The snapshots of one product's stock.
#[derive(Debug, Default)]
struct Stock {
    /// The number of queries since the younger snapshot.
    queries: u64,
    under_way: bool,
    older: Arc<Snapshot>,
    younger: Option<Arc<Snapshot>>,
}

/// The items of a stock, by position.
type Snapshot = BTreeMap<(String, String), Value>;

/// An index query that a snapshot can serve.
struct Query<'a> {
    stock: &'a str,
    from: Bound<(String, String)>,
    to: Bound<(String, String)>,
    limit: usize,
}

fn text<'a>(item: &'a Value, name: &str) -> Option<&'a str> {
    item[name]["S"].as_str()
}

/// Returns the position of an item: its draw, then its hash key if two draws are equal.
fn place(item: &Value) -> Option<(String, String)> {
    Some((text(item, "draw")?.to_owned(), text(item, "pk")?.to_owned()))
}

impl<'a> Query<'a> {
    /// Reads a query. Returns `None` if only the service can serve it.
    fn read(request: &'a Value) -> Option<Self> {
        let unknown = ["FilterExpression", "ProjectionExpression", "Select", "ScanIndexForward"];
        if unknown.iter().any(|name| request.get(name).is_some()) {
            return None;
        }
        let (mut stock, mut from, mut to) = (None, Bound::Unbounded, Bound::Unbounded);
        for part in request["KeyConditionExpression"].as_str()?.split(" AND ") {
            let [name, comparison, value] = part.split_whitespace().collect::<Vec<_>>().try_into().ok()?;
            let name = request["ExpressionAttributeNames"][name].as_str().unwrap_or(name);
            let value = request["ExpressionAttributeValues"][value]["S"].as_str()?;
            // Hash keys are never empty, so an empty one sorts before all items with that draw.
            let at = || (value.to_owned(), String::new());
            match (name, comparison) {
                ("stock", "=") => stock = Some(value),
                ("draw", ">=") => from = Bound::Included(at()),
                ("draw", "<") => to = Bound::Excluded(at()),
                _ => return None,
            }
        }
        if let Some(start) = place(&request["ExclusiveStartKey"]) {
            from = Bound::Excluded(start);
        }
        let limit = request["Limit"].as_u64().map_or(usize::MAX, |limit| usize::try_from(limit).unwrap());
        Some(Self { stock: stock?, from, to, limit })
    }

    /// Returns the items of the query, each from one of the two snapshots, and one more if there are more.
    fn items(&self, older: &Snapshot, younger: &Snapshot, roll: u64) -> Vec<Value> {
        let mut seen = BTreeMap::new();
        for (snapshot, of_age) in [(older, 0), (younger, 1)] {
            let items = snapshot.range((self.from.clone(), self.to.clone()));
            let as_old = items.filter(|((_, pk), _)| mix(&[roll, crate::faults::number(pk)]) & 1 == of_age);
            seen.extend(as_old.take(self.limit.saturating_add(1)));
        }
        seen.into_values().take(self.limit.saturating_add(1)).cloned().collect()
    }
}

impl IndexSnapshots {
    /// Counts a query and renews the snapshots, so that none is more than `queries_max` queries old. There
    /// are two, and a new one replaces the older after half of these queries.
    pub(super) async fn keep_up(&self, shared: &Shared, request: &Request, queries_max: u64) {
        let every = queries_max / 2;
        let Some(query) = Query::read(&request.body) else { return };
        {
            let mut stocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let stock = stocks.entry(query.stock.to_owned()).or_default();
            stock.queries += 1;
            if stock.under_way || stock.younger.is_some() && stock.queries < every {
                return;
            }
            stock.under_way = true;
        }
        let snapshot = take(shared, request, query.stock).await;
        let mut stocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stock = stocks.entry(query.stock.to_owned()).or_default();
        stock.under_way = false;
        if let Some(snapshot) = snapshot {
            let snapshot = Arc::new(snapshot);
            stock.older = stock.younger.replace(Arc::clone(&snapshot)).unwrap_or(snapshot);
            stock.queries = 0;
        }
    }

    /// Responds to a query from the snapshots.
    pub(super) fn answer(&self, request: &Value, roll: u64) -> Option<Value> {
        let query = Query::read(request)?;
        let (older, younger) = self.of(query.stock)?;
        let mut items = query.items(&older, &younger, roll);
        let mut answer = json!({});
        if items.len() > query.limit {
            items.truncate(query.limit);
            if let Some(last) = items.last() {
                let key = ["pk", "sk", "stock", "draw"].map(|name| (name.to_owned(), last[name].clone()));
                answer["LastEvaluatedKey"] = Value::Object(key.into_iter().collect());
            }
        }
        answer["Count"] = json!(items.len());
        answer["ScannedCount"] = json!(items.len());
        answer["Items"] = Value::Array(items);
        Some(answer)
    }

    fn of(&self, stock: &str) -> Option<(Arc<Snapshot>, Arc<Snapshot>)> {
        let stocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stock = stocks.get(stock)?;
        Some((Arc::clone(&stock.older), Arc::clone(stock.younger.as_ref()?)))
    }
}

/// Reads a whole stock.
async fn take(shared: &Shared, like: &Request, stock: &str) -> Option<Snapshot> {
    let mut snapshot = Snapshot::new();
    let mut from = Value::Null;
    loop {
        let mut body = json!({
            "TableName": like.body["TableName"],
            "IndexName": like.body["IndexName"],
            "KeyConditionExpression": "#stock = :stock",
            "ExpressionAttributeNames": {"#stock": "stock"},
            "ExpressionAttributeValues": {":stock": {"S": stock}},
        });
        if !from.is_null() {
            body["ExclusiveStartKey"] = from;
        }
        let (status, answer) = send(shared, like.with_body(body)).await;
        let mut answer: Value = serde_json::from_slice(&answer).ok().filter(|_| status.is_success())?;
        if let Value::Array(items) = answer["Items"].take() {
            snapshot.extend(items.into_iter().filter_map(|item| Some((place(&item)?, item))));
        }
        from = answer["LastEvaluatedKey"].take();
        if from.is_null() {
            return Some(snapshot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(pk: &str, draw: &str) -> Value {
        json!({"pk": {"S": pk}, "sk": {"S": "KEY"}, "stock": {"S": "PRODUCT#1"}, "draw": {"S": draw}})
    }

    fn snapshot(items: &[(&str, &str)]) -> Arc<Snapshot> {
        let items = items.iter().map(|(pk, draw)| item(pk, draw));
        Arc::new(items.map(|item| (place(&item).unwrap(), item)).collect())
    }

    fn snapshots(older: &[(&str, &str)], younger: &[(&str, &str)]) -> IndexSnapshots {
        let stock = Stock { older: snapshot(older), younger: Some(snapshot(younger)), ..Stock::default() };
        IndexSnapshots(Mutex::new(HashMap::from([("PRODUCT#1".to_owned(), stock)])))
    }

    fn query(condition: &str, place: &str, limit: usize) -> Value {
        json!({
            "TableName": "keypool",
            "IndexName": "available",
            "KeyConditionExpression": format!("#stock = :stock AND #draw {condition} :place"),
            "ExpressionAttributeNames": {"#stock": "stock", "#draw": "draw"},
            "ExpressionAttributeValues": {":stock": {"S": "PRODUCT#1"}, ":place": {"S": place}},
            "Limit": limit,
        })
    }

    fn keys(answer: &Value) -> Vec<&str> {
        answer["Items"].as_array().unwrap().iter().map(|item| item["pk"]["S"].as_str().unwrap()).collect()
    }

    #[test]
    fn a_snapshot_returns_the_same_pages_as_the_index() {
        let stock = [("A", "1"), ("B", "3"), ("C", "5"), ("D", "7")];
        let snapshots = snapshots(&stock, &stock);
        let mut request = query(">=", "3", 2);
        let page = snapshots.answer(&request, 1).unwrap();
        assert_eq!(keys(&page), ["B", "C"]);
        request["ExclusiveStartKey"] = page["LastEvaluatedKey"].clone();
        let page = snapshots.answer(&request, 1).unwrap();
        assert_eq!(keys(&page), ["D"]);
        assert!(page.get("LastEvaluatedKey").is_none());
        assert_eq!(keys(&snapshots.answer(&query("<", "5", 9), 1).unwrap()), ["A", "B"]);
        assert!(snapshots.answer(&query("BETWEEN", "5", 9), 1).is_none());
    }

    #[test]
    fn each_key_comes_from_one_of_the_snapshots() {
        let snapshots = snapshots(&[("sold", "1"), ("moved", "2")], &[("moved", "3"), ("new", "4")]);
        let mut seen = std::collections::BTreeSet::new();
        for roll in 0..200 {
            let answer = snapshots.answer(&query(">=", "0", 9), roll).unwrap();
            let keys = keys(&answer);
            assert_eq!(keys.iter().filter(|key| **key == "moved").count(), 1);
            seen.insert(keys.join(" "));
        }
        assert_eq!(
            seen.into_iter().collect::<Vec<_>>(),
            ["moved", "moved new", "sold moved", "sold moved new"]
        );
    }
}
