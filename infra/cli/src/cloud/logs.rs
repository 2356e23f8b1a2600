use anyhow::Context as _;
use aws_sdk_cloudwatchlogs::config::retry::RetryConfig;
use keypool_domain::Timestamp;

use crate::target::{Aws, in_words};

/// The most requests for one page. CloudWatch Logs accepts few requests a second and throttles the rest.
const ATTEMPTS_MAX: u32 = 10;

/// A client of CloudWatch Logs.
#[derive(Debug)]
pub(crate) struct Logs {
    client: aws_sdk_cloudwatchlogs::Client,
}

/// A log group.
#[derive(Debug)]
pub(crate) struct LogGroup {
    pub(crate) name: String,
    /// The time of its creation.
    pub(crate) created_at: Option<Timestamp>,
    /// The days for which it keeps lines; `None` is forever.
    pub(crate) retention_days: Option<u32>,
}

/// A line of a log group.
#[derive(Debug)]
pub(crate) struct LogLine {
    pub(crate) message: String,
    /// Its log group, stream and time, for messages.
    pub(crate) place: String,
}

impl Logs {
    pub(crate) fn of(aws: &Aws) -> Self {
        let retries = RetryConfig::standard().with_max_attempts(ATTEMPTS_MAX);
        let config = aws_sdk_cloudwatchlogs::config::Builder::from(aws.config()).retry_config(retries);
        Self { client: aws_sdk_cloudwatchlogs::Client::from_conf(config.build()) }
    }

    /// Reads the age and the retention of a log group.
    pub(crate) async fn group(&self, name: &str) -> anyhow::Result<LogGroup> {
        let mut pages = self.client.describe_log_groups().log_group_name_prefix(name).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| in_words("logs:DescribeLogGroups", &error))?;
            let found = page.log_groups().iter().find(|group| group.log_group_name() == Some(name));
            if let Some(group) = found {
                let created_at = group.creation_time().and_then(of_milliseconds);
                let retention_days = group.retention_in_days().and_then(|days| u32::try_from(days).ok());
                return Ok(LogGroup { name: name.to_owned(), created_at, retention_days });
            }
        }
        anyhow::bail!("there is no log group {name}: it was deleted, or the stack was deployed anew")
    }

    /// Reads a page of the lines since `since` that contain `text`. Returns them with the token of the next
    /// page.
    pub(crate) async fn page(
        &self,
        group: &str,
        text: &str,
        since: Timestamp,
        from: Option<String>,
    ) -> anyhow::Result<(Vec<LogLine>, Option<String>)> {
        let page = self
            .client
            .filter_log_events()
            .log_group_name(group)
            .filter_pattern(format!("\"{text}\""))
            .start_time(since.unix_microseconds() / 1_000)
            .set_next_token(from)
            .send()
            .await
            .map_err(|error| in_words("logs:FilterLogEvents", &error))?;
        let lines = page.events().iter().map(|event| {
            let stream = event.log_stream_name().unwrap_or("an unnamed stream");
            let at = event.timestamp().and_then(of_milliseconds);
            let at = at.map_or_else(String::new, |at| format!(" at {at}"));
            let message = event.message().context("CloudWatch Logs returned a line without text")?;
            Ok(LogLine { message: message.to_owned(), place: format!("{group}, {stream}{at}") })
        });
        Ok((lines.collect::<anyhow::Result<_>>()?, page.next_token().map(str::to_owned)))
    }
}

fn of_milliseconds(milliseconds: i64) -> Option<Timestamp> {
    Timestamp::from_unix_microseconds(milliseconds.checked_mul(1_000)?)
}
