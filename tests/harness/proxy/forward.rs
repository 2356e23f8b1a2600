use std::collections::VecDeque;

use axum::body::{Body, to_bytes};
use axum::extract::{self, State};
use axum::http::{Method, Response, StatusCode};
use bytes::Bytes;
use serde_json::Value;

use super::call::{AwsCall, Caller, Request, consumed};
use super::{Fault, Postponed, Shared, answer};
use crate::faults::{ObservedCall, buyer_of};
use crate::privileges::Privilege;

/// Forwards a call to the service and returns the response, or injects a fault.
pub(super) async fn forward(State(shared): State<Shared>, request: extract::Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let operation = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let operation = operation.and_then(|target| target.split('.').nth(1)).unwrap_or("?").to_owned();
    let caller = Caller::of_path(parts.uri.path());
    if parts.method == Method::GET {
        return shared.refuse_bare_get();
    }
    // A client that disappears before the end of its request has made no call.
    let Ok(body) = to_bytes(body, usize::MAX).await else { return answer::cut_off() };
    let text = String::from_utf8(body.into()).unwrap();
    let request = Request::new(operation, parts.headers, text);
    if caller.environment.is_some_and(|environment| shared.deaths.has(environment)) {
        return answer::cut_off();
    }
    let place = shared.note(&caller, &request);
    if shared.inner().silent {
        std::future::pending::<()>().await;
    }
    let fault = shared.fault(&caller, &request).await;
    let response = disturbed(&shared, &caller, request, fault, place).await;
    shared.inner().under_way -= 1;
    response
}

/// Executes a call with its fault.
async fn disturbed(
    shared: &Shared,
    caller: &Caller,
    request: Request,
    fault: Fault,
    place: Option<usize>,
) -> Response<Body> {
    let die = || caller.environment.into_iter().for_each(|environment| shared.deaths.kill(environment));
    match fault {
        Fault::Pass => {}
        Fault::Delay(duration) => tokio::time::sleep(duration).await,
        Fault::HoldUntil(operation) => shared.has_come(operation).await,
        Fault::LoseRequest => return answer::cut_off(),
        Fault::LoseResponse | Fault::Stall | Fault::DieAfter => {
            passed_on(shared, request, place).await;
            match fault {
                Fault::Stall => std::future::pending::<()>().await,
                Fault::DieAfter => die(),
                _ => {}
            }
            return answer::cut_off();
        }
        Fault::Postpone => return shared.postpone(request, None),
        Fault::PostponeFor(calls) => {
            return shared.postpone(request, shared.due(caller, calls));
        }
        Fault::Answer(given) => return answer::answer(StatusCode::OK, Body::from(given.to_string())),
        Fault::Error(error) => return answer::error(&error),
        Fault::Cancel { reason, at } => return answer::cancelled(&request.body, reason, at),
        Fault::LeaveUnread => return answer::unread(&request.body),
        Fault::LeaveHalfUnread => {
            let mut half = request.body.clone();
            let unread = answer::take_half(&mut half);
            let (status, read) = passed_on(shared, request.with_body(half), place).await;
            let mut read: Value = serde_json::from_slice(&read).unwrap_or_default();
            read["UnprocessedKeys"] = unread;
            return answer::answer(status, Body::from(read.to_string()));
        }
        Fault::Forget => {
            let sent = serde_json::json!({"MessageId": "forgotten"});
            return answer::answer(StatusCode::OK, Body::from(sent.to_string()));
        }
        Fault::Double => {
            passed_on(shared, request.clone(), place).await;
        }
        Fault::Stale(roll) => {
            if let Some(older) = shared.older_answer(&request, roll) {
                return answer::answer(StatusCode::OK, Body::from(older));
            }
        }
        Fault::DieBefore => {
            die();
            return answer::cut_off();
        }
        Fault::DieAndPostpone(calls) => {
            die();
            return shared.postpone(request, calls.and_then(|calls| shared.due(caller, calls)));
        }
    }
    // The environment may have died meanwhile.
    if caller.environment.is_some_and(|environment| shared.deaths.has(environment)) {
        return answer::cut_off();
    }
    let (status, body) = passed_on(shared, request, place).await;
    answer::answer(status, Body::from(body))
}

/// Forwards a call, and records its units if it has a place among the calls.
async fn passed_on(shared: &Shared, mut request: Request, place: Option<usize>) -> (StatusCode, Bytes) {
    let Some(place) = place else {
        let (status, body) = send(shared, request.clone()).await;
        shared.table_snapshots.keep(&request, status, &body);
        return (status, body);
    };
    request.ask_for_units();
    let (status, body) = send(shared, request).await;
    let answered: Value = serde_json::from_slice(&body).unwrap_or_default();
    let (table_units, index_units) = consumed(&answered["ConsumedCapacity"]);
    if let Some(call) = shared.inner().calls.get_mut(place) {
        (call.table_units, call.index_units) = (table_units, index_units);
    }
    (status, body)
}

/// Sends a call to the service.
pub(super) async fn send(shared: &Shared, request: Request) -> (StatusCode, Bytes) {
    let Request { mut headers, text, .. } = request;
    headers.remove("host");
    headers.remove("content-length");
    let sent = shared.client.post(&shared.upstream).headers(headers).body(text).send().await;
    let Ok(response) = sent else { return (StatusCode::BAD_GATEWAY, Bytes::new()) };
    let status = response.status();
    (status, response.bytes().await.unwrap_or_default())
}

impl Shared {
    /// Responds to a request that is not a call. It opens a connection, and counts as `GET`.
    fn refuse_bare_get(&self) -> Response<Body> {
        let mut inner = self.inner();
        let overlapping = inner.under_way;
        let operation = "GET".to_owned();
        inner.calls.push(AwsCall { operation, table_units: 0.0, index_units: 0.0, overlapping });
        self.arrivals.notify_waiters();
        answer::answer(StatusCode::NOT_FOUND, Body::empty())
    }

    /// Waits until a call of an operation is among the calls.
    pub(super) async fn has_come(&self, operation: &str) {
        loop {
            let arrival = self.arrivals.notified();
            if self.inner().calls.iter().any(|call| call.operation == operation) {
                return;
            }
            arrival.await;
        }
    }

    /// Counts a call and returns its index. Calls under a fault plan get none, because they are too many.
    fn note(&self, caller: &Caller, request: &Request) -> Option<usize> {
        let privileges = caller
            .has_role()
            .then(|| Privilege::of_call(&caller.function, &request.operation, &request.body));
        let mut inner = self.inner();
        inner.privileges.extend(privileges.into_iter().flatten());
        let overlapping = inner.under_way;
        inner.under_way += 1;
        if caller.environment.is_some() && inner.fault_plan.is_some() {
            return None;
        }
        let operation = request.operation.clone();
        inner.calls.push(AwsCall { operation, table_units: 0.0, index_units: 0.0, overlapping });
        self.arrivals.notify_waiters();
        Some(inner.calls.len() - 1)
    }

    /// Returns the point at which the caller's buyer will have made this many more calls.
    fn due(&self, caller: &Caller, calls: u64) -> Option<(u32, u64)> {
        let buyer = buyer_of(caller.environment?);
        let so_far = self.inner().by_buyer.get(&buyer).copied().unwrap_or(0);
        Some((buyer, so_far + calls))
    }

    /// Returns the fault for a call: the scripted one, else that of the fault plan.
    async fn fault(&self, caller: &Caller, request: &Request) -> Fault {
        let scripted = self.inner().faults.get_mut(&request.operation).and_then(VecDeque::pop_front);
        if let Some(fault) = scripted {
            return fault;
        }
        let Some(environment) = caller.environment else { return Fault::Pass };
        let (fault_plan, seen, due) = {
            let mut inner = self.inner();
            let Some(fault_plan) = inner.fault_plan.clone() else { return Fault::Pass };
            let buyer = buyer_of(environment);
            let calls = inner.by_buyer.entry(buyer).or_default();
            *calls += 1;
            let calls = *calls;
            let nth = inner.by_operation.entry((environment, request.operation.clone())).or_default();
            *nth += 1;
            let seen = ObservedCall {
                environment,
                operation: request.operation.clone(),
                nth: *nth - 1,
                may_be_stale: request.may_be_stale(),
            };
            let is_due = |kept: &mut Postponed| kept.due.is_some_and(|(of, at)| of == buyer && at <= calls);
            let due: Vec<Postponed> = inner.postponed.extract_if(.., is_due).collect();
            (fault_plan, seen, due)
        };
        for Postponed { request, .. } in due {
            send(self, request).await;
        }
        let fault = fault_plan.fault(&seen);
        if request.reads_index()
            && let Some(queries_max) = fault_plan.stale_reads_max()
        {
            self.index_snapshots.keep_up(self, request, queries_max).await;
        }
        let nothing_older = matches!(fault, Fault::Stale(roll) if self.older_answer(request, roll).is_none());
        if fault == Fault::Pass || nothing_older {
            return Fault::Pass;
        }
        fault_plan.count(&seen, &fault);
        fault
    }

    /// Returns a response that was correct a while ago.
    fn older_answer(&self, request: &Request, roll: u64) -> Option<Bytes> {
        if request.reads_index() {
            return self
                .index_snapshots
                .answer(&request.body, roll)
                .map(|snapshot| Bytes::from(snapshot.to_string()));
        }
        let reads_max =
            self.inner().fault_plan.as_ref().and_then(|fault_plan| fault_plan.stale_reads_max())?;
        self.table_snapshots.answer(request, reads_max)
    }

    /// Holds a call.
    fn postpone(&self, request: Request, due: Option<(u32, u64)>) -> Response<Body> {
        self.inner().postponed.push(Postponed { request, due });
        answer::cut_off()
    }
}
