use std::time::{Duration, SystemTime};

use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::builders::DimensionBuilder;
use aws_sdk_cloudwatch::types::{
    AlarmType, Dimension, Metric, MetricDataQuery, MetricDataResult, MetricStat, ScanBy, StateValue,
};

use crate::target::{Aws, in_words};

/// The most alarms that `CloudWatch` accepts in one request.
const ALARMS_MAX: usize = 100;
const MINUTE_SECONDS: i32 = 60;

/// An alarm in the state ALARM.
#[derive(Debug)]
pub(crate) struct Alarm {
    pub(crate) name: String,
    pub(crate) reason: String,
}

/// The totals of a metric over its minutes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Readings {
    /// The sum of all minutes.
    pub(crate) sum: f64,
    /// The highest value of a minute.
    pub(crate) peak: f64,
}

/// Finds those of the named alarms that are in the state ALARM.
pub(crate) async fn ringing(aws: &Aws, names: &[String]) -> anyhow::Result<Vec<Alarm>> {
    let client = aws_sdk_cloudwatch::Client::new(aws.config());
    let mut alarms = Vec::new();
    for names in names.chunks(ALARMS_MAX) {
        let request = client
            .describe_alarms()
            .set_alarm_names(Some(names.to_vec()))
            .alarm_types(AlarmType::MetricAlarm)
            .state_value(StateValue::Alarm);
        let mut pages = request.into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| in_words("cloudwatch:DescribeAlarms", &error))?;
            alarms.extend(page.metric_alarms().iter().map(|alarm| Alarm {
                name: alarm.alarm_name().unwrap_or_default().to_owned(),
                reason: alarm.state_reason().unwrap_or_default().to_owned(),
            }));
        }
    }
    Ok(alarms)
}

/// Adds up a metric over the last `span`, minute by minute.
pub(crate) async fn sum_and_peak(
    aws: &Aws,
    namespace: &str,
    name: &str,
    dimensions: &[(&str, &str)],
    span: Duration,
) -> anyhow::Result<Readings> {
    let client = aws_sdk_cloudwatch::Client::new(aws.config());
    let dimensions = dimensions.iter().map(|(name, value)| Dimension::builder().name(*name).value(*value));
    let metric = Metric::builder()
        .namespace(namespace)
        .metric_name(name)
        .set_dimensions(Some(dimensions.map(DimensionBuilder::build).collect()));
    let by_minute = MetricStat::builder().metric(metric.build()).period(MINUTE_SECONDS).stat("Sum");
    let query = MetricDataQuery::builder().id("asked").metric_stat(by_minute.build()).build();
    let now = SystemTime::now();
    let request = client
        .get_metric_data()
        .metric_data_queries(query)
        .start_time(DateTime::from(now - span))
        .end_time(DateTime::from(now))
        .scan_by(ScanBy::TimestampDescending);
    let mut pages = request.into_paginator().send();
    let mut readings = Readings::default();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| in_words("cloudwatch:GetMetricData", &error))?;
        for value in page.metric_data_results().iter().flat_map(MetricDataResult::values) {
            readings.sum += value;
            readings.peak = readings.peak.max(*value);
        }
    }
    Ok(readings)
}
