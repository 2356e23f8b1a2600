use anyhow::Context as _;

use crate::target::{Aws, in_words};

/// The resources of a stack, by their names in `infra/template.yaml`.
#[derive(Debug)]
pub(crate) struct Resources(Vec<Resource>);

#[derive(Debug)]
struct Resource {
    name: String,
    kind: String,
    physical_id: String,
}

impl Resources {
    /// Asks `CloudFormation` for the resources of a stack.
    pub(crate) async fn of(aws: &Aws, stack: &str) -> anyhow::Result<Self> {
        let client = aws_sdk_cloudformation::Client::new(aws.config());
        let mut pages = client.list_stack_resources().stack_name(stack).into_paginator().send();
        let mut resources = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| in_words("cloudformation:ListStackResources", &error))?;
            resources.extend(page.stack_resource_summaries().iter().filter_map(|summary| {
                Some(Resource {
                    name: summary.logical_resource_id()?.to_owned(),
                    kind: summary.resource_type()?.to_owned(),
                    physical_id: summary.physical_resource_id()?.to_owned(),
                })
            }));
        }
        Ok(Self(resources))
    }

    /// The physical id of the resource that the template calls `name`.
    pub(crate) fn physical_id(&self, name: &str) -> anyhow::Result<&str> {
        let named = self.0.iter().find(|resource| resource.name == name);
        let id = named.map(|resource| resource.physical_id.as_str());
        id.with_context(|| format!("the stack has no resource {name}: deploy it again (`sam deploy`)"))
    }

    /// The physical ids of all resources of a type.
    pub(crate) fn of_kind(&self, kind: &str) -> Vec<String> {
        let of_kind = self.0.iter().filter(|resource| resource.kind == kind);
        of_kind.map(|resource| resource.physical_id.clone()).collect()
    }
}
