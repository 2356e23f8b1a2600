//! Checks of what AWS itself knows of a stack: its sweep, its alarms, and the account's quotas.

use std::time::Duration;

use super::CheckContext;
use super::report::Report;
use crate::cloud::{CONCURRENT_EXECUTIONS, RSA_REQUESTS, Readings, Resources, quota, ringing, sum_and_peak};
use crate::target::{Aws, Place};

/// The time for which the sweep is looked at: it runs once a minute, and `CloudWatch` is some minutes behind.
const SWEEP_SPAN: Duration = Duration::from_mins(15);
/// The time for which the signatures are looked at.
const SIGNATURES_SPAN: Duration = Duration::from_hours(24);
/// A new account has 10 executions at a time, all functions together. Fewer than this refuse a small rush.
const EXECUTIONS_MIN: f64 = 100.0;
/// The quota to ask for instead: the quota of an account that is some weeks old.
const EXECUTIONS_WANTED: &str = "1000";
/// From this share of a quota on it is time to ask for more.
const SHARE_MAX: f64 = 0.8;

const GRANT: &str = "have it granted: docs/operators.md lists what the doctor needs; or see `keypool target`";

/// Looks at what is around the stack. There is nothing of it on this machine.
pub(super) async fn check(context: CheckContext<'_>, report: &mut Report) -> anyhow::Result<()> {
    let Place::Aws(aws) = &context.target.place else { return Ok(()) };
    match &context.target.stack {
        Some(stack) => check_stack(aws, stack, report).await?,
        None => report.warning(
            "sweep, alarms",
            "not checked: which stack they are of is not known",
            "name the stack with --stack",
        )?,
    }
    report.looking_at("asking for quotas");
    check_concurrency(aws, report).await?;
    check_signatures(aws, report).await
}

async fn check_stack(aws: &Aws, stack: &str, report: &mut Report) -> anyhow::Result<()> {
    report.looking_at("looking at the sweep and at alarms");
    let resources = match Resources::of(aws, stack).await {
        Ok(resources) => resources,
        Err(error) => return not_checked(report, "sweep, alarms", &error),
    };
    check_sweep(aws, &resources, report).await?;
    check_alarms(aws, &resources, report).await
}

async fn check_sweep(aws: &Aws, resources: &Resources, report: &mut Report) -> anyhow::Result<()> {
    const CHECK: &str = "sweep";
    let minutes = SWEEP_SPAN.as_secs() / 60;
    let read = async {
        let function = resources.physical_id("SweepOrdersFunction")?;
        let of_function = [("FunctionName", function)];
        let read = |name| sum_and_peak(aws, "AWS/Lambda", name, &of_function, SWEEP_SPAN);
        let (runs, errors) = tokio::try_join!(read("Invocations"), read("Errors"))?;
        Ok::<_, anyhow::Error>((function, runs.sum, errors.sum))
    };
    match read.await {
        Ok((_, 0.0, _)) => report.warning(
            CHECK,
            format!(
                "did not run in the last {minutes} minutes: nobody ends the orders that were left half done"
            ),
            "a stack that was just deployed needs some minutes; else look at the schedule of sweep-orders",
        ),
        Ok((_, runs, 0.0)) => report.ok(CHECK, format!("ran {runs} times in the last {minutes} minutes")),
        Ok((function, runs, errors)) => {
            let said = format!("failed {errors} of {runs} times in the last {minutes} minutes");
            let way_out = format!("look at its log: sam logs --name {function}");
            if errors < runs {
                report.warning(CHECK, said, way_out)
            } else {
                report.fault(CHECK, said, way_out)
            }
        }
        Err(error) => not_checked(report, CHECK, &error),
    }
}

async fn check_alarms(aws: &Aws, resources: &Resources, report: &mut Report) -> anyhow::Result<()> {
    const CHECK: &str = "alarms";
    let names = resources.of_kind("AWS::CloudWatch::Alarm");
    if names.is_empty() {
        return report.warning(CHECK, "the stack has none", "deploy it again (`sam deploy`)");
    }
    match ringing(aws, &names).await {
        Ok(alarms) if alarms.is_empty() => report.ok(CHECK, format!("none of {} rings", names.len())),
        Ok(alarms) => alarms.iter().try_for_each(|alarm| {
            let said = format!("{} rings: {}", alarm.name, alarm.reason);
            let way_out = format!(
                "its description says what to do: aws cloudwatch describe-alarms --alarm-names {}",
                alarm.name
            );
            report.warning(CHECK, said, way_out)
        }),
        Err(error) => not_checked(report, CHECK, &error),
    }
}

async fn check_concurrency(aws: &Aws, report: &mut Report) -> anyhow::Result<()> {
    const CHECK: &str = "concurrency";
    match quota(aws, CONCURRENT_EXECUTIONS).await {
        Ok(Some(executions)) if executions < EXECUTIONS_MIN => report.warning(
            CHECK,
            format!(
                "{executions} requests at a time, for all functions of the account: what is beyond gets 503"
            ),
            format!("ask AWS for more: {}", CONCURRENT_EXECUTIONS.request(EXECUTIONS_WANTED)),
        ),
        Ok(Some(executions)) => {
            report.ok(CHECK, format!("{executions} requests at a time, for all functions of the account"))
        }
        Ok(None) => report.warning(CHECK, "not checked: Service Quotas names no value", GRANT),
        Err(error) => not_checked(report, CHECK, &error),
    }
}

async fn check_signatures(aws: &Aws, report: &mut Report) -> anyhow::Result<()> {
    const CHECK: &str = "KMS quota";
    const OF_RSA: [(&str, &str); 4] =
        [("Service", "KMS"), ("Type", "API"), ("Resource", "CryptographicOperationsRsa"), ("Class", "None")];
    let used = sum_and_peak(aws, "AWS/Usage", "CallCount", &OF_RSA, SIGNATURES_SPAN);
    match tokio::try_join!(quota(aws, RSA_REQUESTS), used) {
        Ok((Some(quota), Readings { peak, .. })) => {
            let most = peak / 60.0;
            let said = format!(
                "{quota} RSA signatures a second, for all keys of the account; {most:.1} in the busiest minute of the \
                 last day"
            );
            if most < quota * SHARE_MAX {
                return report.ok(CHECK, said);
            }
            let way_out =
                format!("beyond it shops get 503; ask AWS for more: {}", RSA_REQUESTS.request("NUMBER"));
            report.warning(CHECK, said, way_out)
        }
        Ok((None, _)) => report.warning(CHECK, "not checked: Service Quotas names no value", GRANT),
        Err(error) => not_checked(report, CHECK, &error),
    }
}

/// A warning about what the operator may not see: it says nothing of the shop.
fn not_checked(report: &mut Report, check: &str, error: &anyhow::Error) -> anyhow::Result<()> {
    report.warning(check, format!("not checked: {error:#}"), GRANT)
}
