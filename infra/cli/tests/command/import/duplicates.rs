use std::os::unix::fs::PermissionsExt as _;

use std::sync::Arc;

use keypool_domain::{Clock as _, OperatingSystemRandomness, SystemClock, Timestamp};
use keypool_local::TABLE;
use keypool_store::Store;

use super::{Shop, in_short, summary};

#[tokio::test]
async fn a_duplicate_changes_no_existing_key() {
    let shop = Shop::open();
    shop.imported(
        "stock.csv",
        "key,status\nIN-STOCK,available\nSET-ASIDE,reserved\nOUT,blocked\nGONE,available\n",
        &[],
        0,
    );
    let owner = [("owner_name", "First"), ("email", "first@example.com"), ("license_key", "GONE")];
    assert_eq!(shop.local.post("assign-license-key", &owner).await["code"], 800);
    let before = shop.keys().await;

    let content = "NEW\nIN-STOCK\nSET-ASIDE\nOUT\nGONE\nNEW\nGONE\n".to_owned();
    let expected = [
        "2 IN-STOCK duplicate of in stock",
        "3 SET-ASIDE duplicate of reserved",
        "4 OUT duplicate of blocked",
        "5 GONE duplicate of sold",
        "6 NEW duplicate of 1",
        "7 GONE duplicate of 5",
    ];
    shop.write("more.txt", &content);
    let output = shop.import(&["more.txt", "--product", "2", "--dry-run"], 0);
    assert_eq!(summary(&output), [7, 1, 6, 0]);
    let rehearsed: Vec<String> = shop.receipt("more.txt.dry-run.jsonl").iter().map(in_short).collect();
    assert_eq!(rehearsed[0], "1 NEW would be created");
    assert_eq!(rehearsed[1..], expected);
    assert_eq!(shop.keys().await, before, "a dry run writes no keys");

    let told = shop.imported("more.txt", &content, &[], 0);
    assert_eq!(told[0], "1 NEW created");
    assert_eq!(told[1..], expected);
    let mut after = shop.keys().await;
    assert_eq!(after.remove("NEW").unwrap()["version"], "1");
    assert_eq!(after, before);
    for name in ["more.txt.receipt.jsonl", "more.txt.dry-run.jsonl"] {
        let mode = shop.path().join(name).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "the file contains the keys");
    }
}

#[tokio::test]
async fn distant_duplicates_name_the_earlier_line() {
    let shop = Shop::open();
    let mut lines: Vec<String> = (0..3_000).map(|n| format!("FAR-{n}")).collect();
    lines.push("FAR-0".to_owned());
    lines.push("FAR-2999".to_owned());
    let told = shop.imported("far.txt", lines.join("\n"), &[], 0);
    assert_eq!(told[3_000..], ["3001 FAR-0 duplicate of 1", "3002 FAR-2999 duplicate of 3000"]);
    assert_eq!(shop.keys().await.len(), 3_000);
    let output = shop.import(&["far.txt", "--product", "1", "--dry-run"], 0);
    assert_eq!(summary(&output), [3_002, 0, 3_002, 0]);
}

#[tokio::test]
async fn an_import_has_two_audit_entries() {
    let shop = Shop::open();
    let store = Store::new(shop.clients().dynamodb, TABLE, Arc::new(OperatingSystemRandomness));
    let since =
        Timestamp::from_unix_microseconds(SystemClock.now().unix_microseconds() - 60_000_000).unwrap();
    shop.write("keys.txt", "A\nB\nA\n");
    shop.import(&["keys.txt", "--product", "1", "--dry-run"], 0);
    assert_eq!(
        store.audit_trail(since, SystemClock.now(), 10, |_| true).await.unwrap(),
        [],
        "a dry run has no audit entry"
    );
    shop.import(&["keys.txt", "--product", "1"], 0);
    let trail = store.audit_trail(since, SystemClock.now(), 10, |_| true).await.unwrap();
    let [after, before] = &trail[..] else { panic!("{trail:?}") };
    for entry in [before, after] {
        assert_eq!((entry.action.as_str(), entry.subject.as_str()), ("keys.import", "product 1"));
    }
    let (before, after) = (before.after.as_ref().unwrap(), after.after.as_ref().unwrap());
    assert_eq!((&before["state"], &after["state"]), (&"begun".into(), &"complete".into()));
    assert_eq!(before["import"], after["import"]);
    assert_eq!((&after["counts"]["created"], &after["counts"]["duplicate"]), (&2.into(), &1.into()));
}
