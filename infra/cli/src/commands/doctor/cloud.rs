//! Checks of a stack with data from AWS: its sweep, its alarms, and the account's quotas.

use std::time::Duration;

use super::report::Report;
use crate::cloud::{CONCURRENT_EXECUTIONS, RSA_REQUESTS, Readings, Resources, quota, ringing, sum_and_peak};
use crate::target::{Aws, Place};

/// The period in which the sweep must have run. It runs once a minute, and `CloudWatch` is some minutes
/// behind.
const SWEEP_SPAN: Duration = Duration::from_mins(15);
/// The period in which signatures are counted.
const SIGNATURES_SPAN: Duration = Duration::from_hours(24);
/// The fewest concurrent executions that can take a small rush. A new account has 10 for all functions
/// together.
const EXECUTIONS_MIN: f64 = 100.0;
/// The quota to request: that of an account which is some weeks old.
const EXECUTIONS_WANTED: &str = "1000";
/// The share of a quota at which more is needed.
const SHARE_MAX: f64 = 0.8;

const GRANT: &str =
    "have the permission granted (docs/operators.md lists those of the doctor), or check `keypool target`";

/// Checks the surroundings of a stack on AWS. A local stack has none.
pub(super) async fn check(report: &mut Report<'_>) -> anyhow::Result<()> {
    let Place::Aws(aws) = &report.target.place else { return Ok(()) };
    match &report.target.stack {
        Some(stack) => check_stack(aws, stack, report).await?,
        None => report.warning("sweep, alarms", "not checked: the stack is unknown", "give --stack")?,
    }
    report.looking_at("checking quotas");
    check_concurrency(aws, report).await?;
    check_signatures(aws, report).await
}

async fn check_stack(aws: &Aws, stack: &str, report: &mut Report<'_>) -> anyhow::Result<()> {
    report.looking_at("checking the sweep and the alarms");
    let resources = match Resources::of(aws, stack).await {
        Ok(resources) => resources,
        Err(error) => return not_checked(report, "sweep, alarms", &error),
    };
    check_sweep(aws, &resources, report).await?;
    check_alarms(aws, &resources, report).await
}

async fn check_sweep(aws: &Aws, resources: &Resources, report: &mut Report<'_>) -> anyhow::Result<()> {
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
                "did not run in the last {minutes} minutes: interrupted orders are neither finished nor undone"
            ),
            "wait some minutes if the stack is new; else check the schedule of sweep-orders",
        ),
        Ok((_, runs, 0.0)) => report.ok(CHECK, format!("ran {runs} times in the last {minutes} minutes")),
        Ok((function, runs, errors)) => {
            let said = format!("failed {errors} of {runs} times in the last {minutes} minutes");
            let way_out = format!("see its log: sam logs --name {function}");
            if errors < runs {
                report.warning(CHECK, said, way_out)
            } else {
                report.fault(CHECK, said, way_out)
            }
        }
        Err(error) => not_checked(report, CHECK, &error),
    }
}

async fn check_alarms(aws: &Aws, resources: &Resources, report: &mut Report<'_>) -> anyhow::Result<()> {
    const CHECK: &str = "alarms";
    let names = resources.of_kind("AWS::CloudWatch::Alarm");
    if names.is_empty() {
        return report.warning(CHECK, "the stack has none", "deploy it again (`sam deploy`)");
    }
    match ringing(aws, &names).await {
        Ok(alarms) if alarms.is_empty() => report.ok(CHECK, format!("none of {} is raised", names.len())),
        Ok(alarms) => alarms.iter().try_for_each(|alarm| {
            let said = format!("{} is raised: {}", alarm.name, alarm.reason);
            let way_out = format!(
                "read what to do in its description: aws cloudwatch describe-alarms --alarm-names {}",
                alarm.name
            );
            report.warning(CHECK, said, way_out)
        }),
        Err(error) => not_checked(report, CHECK, &error),
    }
}

async fn check_concurrency(aws: &Aws, report: &mut Report<'_>) -> anyhow::Result<()> {
    const CHECK: &str = "concurrency";
    match quota(aws, CONCURRENT_EXECUTIONS).await {
        Ok(executions) if executions < EXECUTIONS_MIN => report.warning(
            CHECK,
            format!(
                "{executions} requests at a time for all functions of the account: further requests get 503"
            ),
            format!("request more from AWS: {}", CONCURRENT_EXECUTIONS.request(EXECUTIONS_WANTED)),
        ),
        Ok(executions) => {
            report.ok(CHECK, format!("{executions} requests at a time for all functions of the account"))
        }
        Err(error) => not_checked(report, CHECK, &error),
    }
}

async fn check_signatures(aws: &Aws, report: &mut Report<'_>) -> anyhow::Result<()> {
    const CHECK: &str = "KMS quota";
    const OF_RSA: [(&str, &str); 4] =
        [("Service", "KMS"), ("Type", "API"), ("Resource", "CryptographicOperationsRsa"), ("Class", "None")];
    let used = sum_and_peak(aws, "AWS/Usage", "CallCount", &OF_RSA, SIGNATURES_SPAN);
    match tokio::try_join!(quota(aws, RSA_REQUESTS), used) {
        Ok((quota, Readings { peak, .. })) => {
            let most = peak / 60.0;
            let said = format!(
                "{quota} RSA signatures a second for all keys of the account; {most:.1} in the busiest minute of the \
                 last day"
            );
            if most < quota * SHARE_MAX {
                return report.ok(CHECK, said);
            }
            let way_out =
                format!("beyond it shops get 503; request more from AWS: {}", RSA_REQUESTS.request("NUMBER"));
            report.warning(CHECK, said, way_out)
        }
        Err(error) => not_checked(report, CHECK, &error),
    }
}

/// Warns that a check failed, which does not mean that the shop is at fault.
fn not_checked(report: &mut Report, check: &str, error: &anyhow::Error) -> anyhow::Result<()> {
    report.warning(check, format!("not checked: {error:#}"), GRANT)
}
