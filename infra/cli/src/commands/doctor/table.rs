use keypool_domain::{Clock as _, SystemClock, Timestamp};
use keypool_store::{Expiry, IndexState, TableState};

use super::CheckContext;
use super::report::Report;
use crate::target::Place;

/// The sweep comes by once a minute. What it leaves for so long, it does not bring to its end.
const SWEPT_WITHIN_US: i64 = 5 * 60 * 1_000_000;

/// Looks at the table. Whether it can be read at all.
pub(super) async fn check(context: CheckContext<'_>, report: &mut Report) -> anyhow::Result<bool> {
    const CHECK: &str = "table";
    report.looking_at("looking at the table");
    let table = &context.target.table;
    let state = match context.target.store.describe().await {
        Ok(Some(state)) => state,
        Ok(None) => {
            let said = format!("there is no table {table}: nothing can be sold");
            let way_out =
                "`keypool target` says where this looked; give another --stack, --table or --region";
            report.fault(CHECK, said, way_out)?;
            return Ok(false);
        }
        Err(error) => {
            // Describing is one permission, reading another.
            report.failed(context, CHECK, &error.into())?;
            return Ok(true);
        }
    };
    if !state.has_keys {
        let said = format!("{table} has not the keys pk and sk: it is no table of keypool");
        report.fault(CHECK, said, "give another --stack or --table")?;
        return Ok(false);
    }
    if state.is_active {
        report.ok(CHECK, format!("{table} is there, with the keys it must have"))?;
    } else {
        let way_out = "look at it in the DynamoDB console; it takes some minutes to be made";
        report.fault(CHECK, format!("{table} is not in use: it takes no requests"), way_out)?;
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
        report.ok("billing", "paid by the request")?;
    } else {
        let said =
            "capacity is set aside: it costs while nothing is sold, and more sales than that are refused";
        report.warning("billing", said, aws(context, "update-table", "--billing-mode PAY_PER_REQUEST"))?;
    }
    check_expiry(context, report).await?;
    if let Place::Aws(_) = context.target.place {
        check_safety(context, state, report).await?;
    }
    Ok(true)
}

/// Checks an index that does what `purpose` says. Without it, `broken` is true.
fn check_index(
    state: IndexState,
    (check, name, purpose, broken): (&'static str, &str, &str, &str),
    report: &mut Report,
) -> anyhow::Result<()> {
    const WAY_OUT: &str = "deploy the stack again (`sam deploy`): its template has the index";
    match state {
        IndexState::Ready => report.ok(check, format!("{name} is there, and {purpose}")),
        IndexState::Building => report.warning(
            check,
            format!("{name} is being built, and is not complete yet"),
            "wait until DynamoDB has built it",
        ),
        IndexState::Different => {
            report.fault(check, format!("{name} has other keys, or not all attributes: {broken}"), WAY_OUT)
        }
        IndexState::Missing => report.fault(check, format!("there is no index {name}: {broken}"), WAY_OUT),
    }
}

async fn check_expiry(context: CheckContext<'_>, report: &mut Report) -> anyhow::Result<()> {
    const CHECK: &str = "time to live";
    let setting = "--time-to-live-specification AttributeName=expires_at,Enabled=true";
    let way_out = aws(context, "update-time-to-live", setting);
    match context.target.store.describe_expiry().await {
        Ok(Expiry::On) => report.ok(CHECK, "what is over is deleted, by expires_at"),
        Ok(Expiry::Off) => report.warning(
            CHECK,
            "off: the records of answered requests stay, and cost storage for ever",
            way_out,
        ),
        Ok(Expiry::OtherAttribute(attribute)) => report.fault(
            CHECK,
            format!("goes by {attribute}, not by expires_at: DynamoDB may delete what is in use"),
            format!(
                "{}, and when that is done (up to an hour): {way_out}",
                aws(
                    context,
                    "update-time-to-live",
                    &format!("--time-to-live-specification AttributeName={attribute},Enabled=false")
                )
            ),
        ),
        Err(error) => report.failed(context, CHECK, &error.into()),
    }
}

/// A command that puts a setting of the table right.
fn aws(context: CheckContext<'_>, command: &str, setting: &str) -> String {
    format!("aws dynamodb {command} --table-name {} {setting}", context.target.table)
}

/// What keeps the table from being lost. There is no such thing on this machine.
async fn check_safety(
    context: CheckContext<'_>,
    state: TableState,
    report: &mut Report,
) -> anyhow::Result<()> {
    const CHECK: &str = "recovery";
    if state.is_deletion_protected {
        report.ok("protection", "the table cannot be deleted by mistake")?;
    } else {
        report.warning(
            "protection",
            "off: one command deletes the table, and with it every key ever sold",
            aws(context, "update-table", "--deletion-protection-enabled"),
        )?;
    }
    match context.target.store.has_point_in_time_recovery().await {
        Ok(true) => {
            report.ok(CHECK, "the table can be brought back as it was at any moment of the last days")
        }
        Ok(false) => report.warning(
            CHECK,
            "off: what is changed by mistake cannot be brought back",
            aws(
                context,
                "update-continuous-backups",
                "--point-in-time-recovery-specification PointInTimeRecoveryEnabled=true",
            ),
        ),
        Err(error) => {
            let way_out = "this is a matter of DynamoDB on AWS, and of the permission \
                           dynamodb:DescribeContinuousBackups";
            report.warning(CHECK, format!("not checked: {error}"), way_out)
        }
    }
}

/// Looks for large orders that nobody brings to their end.
pub(super) async fn check_orders(context: CheckContext<'_>, report: &mut Report) -> anyhow::Result<()> {
    const CHECK: &str = "orders";
    report.looking_at("looking at open orders");
    let before = SystemClock.now().unix_microseconds() - SWEPT_WITHIN_US;
    let before = Timestamp::from_unix_microseconds(before).unwrap_or_else(|| SystemClock.now());
    match context.target.store.requests_expired_by(before).await {
        Ok(0) => report.ok(CHECK, "none was left half done"),
        Ok(left) => report.fault(
            CHECK,
            format!(
                "{left} left half done for more than 5 minutes: their keys are out of stock, and not sold"
            ),
            "the function sweep-orders does not run or fails: look at its log and its schedule",
        ),
        Err(error) => report.failed(context, CHECK, &error.into()),
    }
}
