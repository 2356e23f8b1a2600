use http::Method;

use super::report::Report;
use crate::http::send;

/// AWS refuses requests that were signed by a clock with a greater difference.
const DIFFERENCE_SECONDS_MAX: i64 = 300;

/// A greater difference is a warning.
const DIFFERENCE_SECONDS_WARN: i64 = 60;

/// Compares this machine's clock with DynamoDB's. AWS checks the time of signed requests.
pub(super) async fn check(report: &mut Report<'_>) -> anyhow::Result<()> {
    const CHECK: &str = "clock";
    const WAY_OUT: &str = "set this machine's clock, best by NTP (`timedatectl set-ntp true`)";
    report.looking_at("checking the clock");
    let url = &report.target.dynamodb_url;
    let date = match send(Method::GET, url, vec![], vec![]).await {
        Ok(answer) => answer.date(),
        Err(error) => {
            let way_out = "check the network and the region: nothing works without DynamoDB";
            return report.fault(CHECK, format!("not checked: {error:#}"), way_out);
        }
    };
    let Some(date) = date else {
        return report.warning(CHECK, format!("not checked: {url} does not send its time"), WAY_OUT);
    };
    let seconds = jiff::Timestamp::now().as_second() - date.as_second();
    if seconds.abs() > DIFFERENCE_SECONDS_MAX {
        let said = format!("{} DynamoDB's: AWS refuses all requests", off(seconds));
        report.fault(CHECK, said, WAY_OUT)
    } else if seconds.abs() > DIFFERENCE_SECONDS_WARN {
        let said = format!("{} DynamoDB's: beyond 5 minutes AWS refuses all requests", off(seconds));
        report.warning(CHECK, said, WAY_OUT)
    } else {
        report.ok(CHECK, format!("differs by {} s from DynamoDB's", seconds.abs()))
    }
}

fn off(seconds: i64) -> String {
    let direction = if seconds > 0 { "ahead of" } else { "behind" };
    format!("{} s {direction}", seconds.abs())
}
