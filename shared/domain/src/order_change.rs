//! The changes of a queued order that an operator may make.

use crate::{Delivery, OrderState, QueuedOrder};

/// The reason why an operator may not change an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OrderChangeRefusal {
    /// There is nothing to deliver yet.
    #[error("it is {0}: there is no response to deliver yet")]
    Open(OrderState),
    /// The order is filled or ended, and stays so.
    #[error("it is {0}: its keys are assigned, or it has ended")]
    Decided(OrderState),
    /// An operator has cancelled it before.
    #[error("it is cancelled already")]
    Cancelled,
}

impl QueuedOrder {
    /// The order with its callback due at once, as if it had never been tried. It may be delivered or dead.
    pub fn redelivered(&self) -> Result<Self, OrderChangeRefusal> {
        if self.state.is_open() {
            return Err(OrderChangeRefusal::Open(self.state));
        }
        // An order without a time for its next attempt is due, and the sweep does not wait for a message that
        // may be late.
        Ok(Self { state: OrderState::Decided, delivery: Delivery::default(), ..self.clone() })
    }

    /// The order once it is cancelled. A worker then ends it with code 802 instead of filling it.
    pub fn cancelled(&self) -> Result<Self, OrderChangeRefusal> {
        if !self.state.is_open() {
            return Err(OrderChangeRefusal::Decided(self.state));
        }
        if self.is_cancelled {
            return Err(OrderChangeRefusal::Cancelled);
        }
        Ok(Self { is_cancelled: true, ..self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requests::RandomAssignLicenseKeys;
    use crate::{ApiKey, OperatingSystemRandomness, OrderId, Owner, ProductId, Timestamp};

    fn order(state: OrderState) -> QueuedOrder {
        let at = Timestamp::from_unix_microseconds(1_000_000).unwrap();
        let delivery = Delivery {
            attempts: 7,
            first_at: Some(at),
            next_at: Some(at),
            answer: Some("status 500".to_owned()),
        };
        QueuedOrder {
            id: OrderId::new(at, &OperatingSystemRandomness),
            state,
            request: RandomAssignLicenseKeys {
                product_id: ProductId::MIN,
                quantity: "2".parse().unwrap(),
                generate: false,
                owner: Owner::default(),
                identifier: None,
            },
            webhook_url: "https://shop.example/".parse().unwrap(),
            api_key: "secret".parse::<ApiKey>().unwrap().hash(),
            accepted_at: at,
            waits_until: at,
            is_cancelled: false,
            code: (!state.is_open()).then_some(803),
            delivery,
        }
    }

    #[test]
    fn a_decided_order_is_due_as_if_never_tried() {
        for state in [OrderState::Decided, OrderState::Delivered, OrderState::Dead] {
            let before = order(state);
            let due = before.redelivered().unwrap();
            assert_eq!((due.state, due.delivery.clone()), (OrderState::Decided, Delivery::default()));
            assert_eq!(QueuedOrder { state, delivery: before.delivery.clone(), ..due }, before);
        }
    }

    #[test]
    fn an_open_order_has_nothing_to_deliver() {
        for state in [OrderState::Queued, OrderState::Waiting] {
            assert_eq!(order(state).redelivered(), Err(OrderChangeRefusal::Open(state)));
        }
    }

    #[test]
    fn an_order_is_cancelled_once_and_while_it_is_open() {
        for state in [OrderState::Queued, OrderState::Waiting] {
            let before = order(state);
            let cancelled = before.cancelled().unwrap();
            assert_eq!(cancelled, QueuedOrder { is_cancelled: true, ..before });
            assert_eq!(cancelled.cancelled(), Err(OrderChangeRefusal::Cancelled));
        }
        for state in [OrderState::Decided, OrderState::Delivered, OrderState::Dead] {
            assert_eq!(order(state).cancelled(), Err(OrderChangeRefusal::Decided(state)));
        }
    }
}
