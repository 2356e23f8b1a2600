use keypool_domain::{Clock as _, SystemClock, Timestamp};
use keypool_store::{Expiry, IndexState, TableState};

use super::report::Report;
use crate::target::Place;

/// The sweep runs once a minute. An interrupted order that it has not ended after this time is stuck.
const SWEPT_WITHIN_US: i64 = 5 * 60 * 1_000_000;

/// Checks the table. Returns false if it cannot be used at all.
pub(super) async fn check(report: &mut Report<'_>) -> anyhow::Result<bool> {
    const CHECK: &str = "table";
    report.looking_at("checking the table");
    let table = &report.target.table;
    let state = match report.target.store.describe().await {
        Ok(Some(state)) => state,
        Ok(None) => {
            let said = format!("there is no table {table}: nothing can be sold");
            let way_out =
                "check the target (`keypool target` shows it), or give another --stack, --table or --region";
            report.fault(CHECK, said, way_out)?;
            return Ok(false);
        }
        Err(error) => {
            // Describing and reading need different permissions.
            report.failed(CHECK, &error.into())?;
            return Ok(true);
        }
    };
    if !state.has_keys {
        let said = format!("{table} lacks the keys pk and sk: it is not a keypool table");
        report.fault(CHECK, said, "give another --stack or --table")?;
        return Ok(false);
    }
    if state.is_active {
        report.ok(CHECK, format!("{table} exists and has the right keys"))?;
    } else {
        let way_out = "check it in the DynamoDB console; a new table takes some minutes";
        report.fault(CHECK, format!("{table} is not active: it accepts no requests"), way_out)?;
    }
    check_index(
        state.stock_index,
        ("index", "available", "holds the stock", "nothing can be sold at random"),
        report,
    )?;
    check_index(
        state.orders_index,
        ("order index", "orders", "finds the keys of orders", "get-license-keys and --order find nothing"),
        report,
    )?;
    if state.is_on_demand {
        report.ok("billing", "on demand: paid by the request")?;
    } else {
        let said =
            "provisioned: it costs while nothing is sold, and DynamoDB throttles sales beyond the capacity";
        report.warning("billing", said, aws(report, "update-table", "--billing-mode PAY_PER_REQUEST"))?;
    }
    check_expiry(report).await?;
    if let Place::Aws(_) = report.target.place {
        check_safety(state, report).await?;
    }
    Ok(true)
}

/// Checks an index. `purpose` says what it does, `broken` what fails without it.
fn check_index(
    state: IndexState,
    (check, name, purpose, broken): (&'static str, &str, &str, &str),
    report: &mut Report<'_>,
) -> anyhow::Result<()> {
    const WAY_OUT: &str = "deploy the stack again (`sam deploy`): its template has the index";
    match state {
        IndexState::Ready => report.ok(check, format!("{name} exists and {purpose}")),
        IndexState::Building => report.warning(
            check,
            format!("{name} is being built and not complete yet"),
            "wait until DynamoDB has built it",
        ),
        IndexState::Different => {
            report.fault(check, format!("{name} has other keys or lacks attributes: {broken}"), WAY_OUT)
        }
        IndexState::Missing => report.fault(check, format!("there is no index {name}: {broken}"), WAY_OUT),
    }
}

async fn check_expiry(report: &mut Report<'_>) -> anyhow::Result<()> {
    const CHECK: &str = "time to live";
    let setting = "--time-to-live-specification AttributeName=expires_at,Enabled=true";
    let way_out = aws(report, "update-time-to-live", setting);
    match report.target.store.describe_expiry().await {
        Ok(Expiry::On) => report.ok(CHECK, "on: DynamoDB deletes expired records by expires_at"),
        Ok(Expiry::Off) => report.warning(
            CHECK,
            "off: records of completed requests are never deleted, and cost storage",
            way_out,
        ),
        Ok(Expiry::OtherAttribute(attribute)) => report.fault(
            CHECK,
            format!("uses {attribute}, not expires_at: DynamoDB may delete records in use"),
            format!(
                "{}, and after that (up to an hour): {way_out}",
                aws(
                    report,
                    "update-time-to-live",
                    &format!("--time-to-live-specification AttributeName={attribute},Enabled=false")
                )
            ),
        ),
        Err(error) => report.failed(CHECK, &error.into()),
    }
}

/// The AWS command that corrects a setting of the table.
fn aws(report: &Report<'_>, command: &str, setting: &str) -> String {
    format!("aws dynamodb {command} --table-name {} {setting}", report.target.table)
}

/// Checks deletion protection and point-in-time recovery, which a local stack does not have.
async fn check_safety(state: TableState, report: &mut Report<'_>) -> anyhow::Result<()> {
    const CHECK: &str = "recovery";
    if state.is_deletion_protected {
        report.ok("protection", "on: nobody can delete the table by mistake")?;
    } else {
        report.warning(
            "protection",
            "off: one command can delete the table and every key ever sold",
            aws(report, "update-table", "--deletion-protection-enabled"),
        )?;
    }
    match report.target.store.has_point_in_time_recovery().await {
        Ok(true) => report.ok(CHECK, "on: the table can be restored to any second of the last days"),
        Ok(false) => report.warning(
            CHECK,
            "off: mistaken changes cannot be undone",
            aws(
                report,
                "update-continuous-backups",
                "--point-in-time-recovery-specification PointInTimeRecoveryEnabled=true",
            ),
        ),
        Err(error) => {
            let way_out = "the check needs DynamoDB on AWS and the permission \
                           dynamodb:DescribeContinuousBackups";
            report.warning(CHECK, format!("not checked: {error}"), way_out)
        }
    }
}

/// Looks for interrupted large orders that the sweep has not ended.
pub(super) async fn check_orders(report: &mut Report<'_>) -> anyhow::Result<()> {
    const CHECK: &str = "orders";
    report.looking_at("checking open orders");
    let before = SystemClock.now().unix_microseconds() - SWEPT_WITHIN_US;
    let before = Timestamp::from_unix_microseconds(before).unwrap_or_else(|| SystemClock.now());
    match report.target.store.requests_expired_by(before).await {
        Ok(0) => report.ok(CHECK, "none is stuck"),
        Ok(left) => report.fault(
            CHECK,
            format!("{left} stuck for more than 5 minutes: their keys are neither in stock nor sold"),
            "the function sweep-orders does not run, or fails: check its log and its schedule",
        ),
        Err(error) => report.failed(CHECK, &error.into()),
    }
}
