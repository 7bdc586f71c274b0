//! Queues with SQS's rules for visibility, retention and redrive, in virtual time and without a wire.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::message::{Draft, Message};

/// Where the function puts what it has given up on, and Lambda the events it could not deliver.
pub const DEAD_LETTER_QUEUE_URL: &str =
    "https://sqs.eu-west-1.amazonaws.com/222222222222/guardduty-enroller-dead-letters";
/// Where the function puts what it retries later.
pub const RETRY_QUEUE_URL: &str =
    "https://sqs.eu-west-1.amazonaws.com/222222222222/guardduty-enroller-retry";

/// The longest a message can be invisible from one receive on (SQS quotas: 12 hours).
const LONGEST_VISIBILITY: Duration = Duration::from_hours(12);
const DAY: Duration = Duration::from_hours(24);

/// All queues, by their address.
#[derive(Clone, Debug)]
pub struct Queues {
    /// Address → queue.
    pub queues: BTreeMap<String, Queue>,
    /// Gives ids and receipt handles.
    counter: u64,
}

/// One standard queue.
#[derive(Clone, Debug)]
pub struct Queue {
    /// How long a received message stays invisible unless the receiver says otherwise.
    pub visibility_timeout: Duration,
    /// How long a message is kept, counted from its enqueue time.
    pub retention: Duration,
    /// What happens to a message that was received too often.
    pub redrive: Option<Redrive>,
    /// Every message, in the order of arrival.
    pub messages: Vec<Message>,
}

/// A redrive policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redrive {
    /// How often a message can be received.
    pub max_receive_count: u32,
    /// Where it goes instead of being received once more.
    pub dead_letter_url: String,
}

/// How many messages a queue has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Can be received.
    pub visible: usize,
    /// Received and not yet deleted.
    pub in_flight: usize,
    /// Sent with a delay that is not over.
    pub delayed: usize,
}

impl Depth {
    /// All of them.
    #[must_use]
    pub fn total(self) -> usize {
        self.visible + self.in_flight + self.delayed
    }
}

/// Why something could not be done with a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueProblem {
    /// There is no queue with this address.
    NoSuchQueue,
    /// The receipt handle was never given out for a message that still exists, or a later receive has replaced it.
    UnknownReceipt,
    /// The message is not in flight: its visibility timeout is over.
    NotInFlight,
    /// The message would be invisible for more than twelve hours after its receive.
    TooLong,
}

impl fmt::Display for QueueProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NoSuchQueue => "there is no such queue",
            Self::UnknownReceipt => "the receipt handle belongs to no message",
            Self::NotInFlight => "the message is not in flight",
            Self::TooLong => "the message would be invisible for more than 12 hours",
        })
    }
}

impl std::error::Error for QueueProblem {}

impl Default for Queues {
    /// The function's two queues, as its template makes them.
    fn default() -> Self {
        let retry = Queue {
            visibility_timeout: Duration::from_secs(370),
            retention: 4 * DAY,
            redrive: Some(Redrive {
                max_receive_count: 12,
                dead_letter_url: DEAD_LETTER_QUEUE_URL.to_owned(),
            }),
            ..Queue::default()
        };
        let queues = BTreeMap::from([
            (DEAD_LETTER_QUEUE_URL.to_owned(), Queue::default()),
            (RETRY_QUEUE_URL.to_owned(), retry),
        ]);
        Self { queues, counter: 0 }
    }
}

impl Default for Queue {
    /// Messages stay 14 days, and invisible for 30 s (the default of SQS) once received.
    fn default() -> Self {
        Self {
            visibility_timeout: Duration::from_secs(30),
            retention: 14 * DAY,
            redrive: None,
            messages: Vec::new(),
        }
    }
}

impl Queue {
    fn expire(&mut self, now: Duration) {
        self.messages
            .retain(|message| message.sent + self.retention > now);
    }

    fn find(&mut self, receipt: &str) -> Option<usize> {
        self.messages
            .iter()
            .position(|message| message.receipt.as_deref() == Some(receipt))
    }
}

impl Queues {
    fn queue(&mut self, now: Duration, url: &str) -> Result<&mut Queue, QueueProblem> {
        let queue = self.queues.get_mut(url).ok_or(QueueProblem::NoSuchQueue)?;
        queue.expire(now);
        Ok(queue)
    }

    fn next_id(&mut self) -> String {
        self.counter += 1;
        format!("00000000-0000-4000-9000-{:012x}", self.counter)
    }

    /// Sends a message and gives its id.
    ///
    /// # Errors
    /// If there is no such queue.
    pub fn send(&mut self, now: Duration, url: &str, draft: Draft) -> Result<String, QueueProblem> {
        let id = self.next_id();
        let message = Message {
            id: id.clone(),
            body: draft.body,
            attributes: draft.attributes,
            trace_header: draft.trace_header,
            sent: now,
            first_received: None,
            received: None,
            receive_count: 0,
            visible_at: now + draft.delay,
            receipt: None,
        };
        self.queue(now, url)?.messages.push(message);
        Ok(id)
    }

    /// Receives up to `max` messages for the queue's own visibility timeout.
    ///
    /// # Errors
    /// If there is no such queue.
    pub fn receive(
        &mut self,
        now: Duration,
        url: &str,
        max: usize,
    ) -> Result<Vec<Message>, QueueProblem> {
        let timeout = self.queue(now, url)?.visibility_timeout;
        self.receive_for(now, url, max, timeout)
    }

    /// Receives up to `max` messages, which then stay invisible for `timeout`. A message that was received as often as
    /// the redrive policy allows moves instead, unchanged: it keeps its id and its enqueue time.
    ///
    /// # Errors
    /// If there is no such queue.
    pub fn receive_for(
        &mut self,
        now: Duration,
        url: &str,
        max: usize,
        timeout: Duration,
    ) -> Result<Vec<Message>, QueueProblem> {
        let mut counter = self.counter;
        let queue = self.queue(now, url)?;
        let (mut received, mut moved) = (Vec::new(), Vec::new());
        let redrive = queue.redrive.clone();
        queue.messages.retain_mut(|message| {
            if message.visible_at > now || received.len() >= max {
                return true;
            }
            if redrive
                .as_ref()
                .is_some_and(|redrive| message.receive_count >= redrive.max_receive_count)
            {
                moved.push(message.clone());
                return false;
            }
            counter += 1;
            message.receive_count += 1;
            message.first_received.get_or_insert(now);
            message.received = Some(now);
            message.visible_at = now + timeout;
            message.receipt = Some(format!("receipt-{counter}-of-{}", message.id));
            received.push(message.clone());
            true
        });
        self.counter = counter;
        if let Some(redrive) = redrive
            && let Ok(dead_letters) = self.queue(now, &redrive.dead_letter_url)
        {
            dead_letters
                .messages
                .extend(moved.into_iter().map(|message| Message {
                    receipt: None,
                    ..message
                }));
        }
        Ok(received)
    }

    /// Deletes the message that this receive gave.
    ///
    /// # Errors
    /// If there is no such queue, or no message whose last receive gave this handle.
    pub fn delete(&mut self, now: Duration, url: &str, receipt: &str) -> Result<(), QueueProblem> {
        let queue = self.queue(now, url)?;
        let index = queue.find(receipt).ok_or(QueueProblem::UnknownReceipt)?;
        queue.messages.remove(index);
        Ok(())
    }

    /// Makes a message in flight visible again `timeout` from now.
    ///
    /// # Errors
    /// If there is no such queue or message, or if the message is not in flight any more.
    pub fn change_visibility(
        &mut self,
        now: Duration,
        url: &str,
        receipt: &str,
        timeout: Duration,
    ) -> Result<(), QueueProblem> {
        let queue = self.queue(now, url)?;
        let index = queue.find(receipt).ok_or(QueueProblem::UnknownReceipt)?;
        let message = queue
            .messages
            .get_mut(index)
            .ok_or(QueueProblem::UnknownReceipt)?;
        if message.visible_at <= now {
            return Err(QueueProblem::NotInFlight);
        }
        if now + timeout > message.received.unwrap_or(now) + LONGEST_VISIBILITY {
            return Err(QueueProblem::TooLong);
        }
        message.visible_at = now + timeout;
        Ok(())
    }

    /// How many messages a queue has; nothing if there is no such queue.
    #[must_use]
    pub fn depth(&self, now: Duration, url: &str) -> Depth {
        let mut depth = Depth::default();
        for message in self.alive(now, url) {
            if message.visible_at <= now {
                depth.visible += 1;
            } else if message.receive_count > 0 {
                depth.in_flight += 1;
            } else {
                depth.delayed += 1;
            }
        }
        depth
    }

    /// The messages of a queue that are not too old.
    pub fn alive(&self, now: Duration, url: &str) -> impl Iterator<Item = &Message> {
        self.queues.get(url).into_iter().flat_map(move |queue| {
            queue
                .messages
                .iter()
                .filter(move |message| message.sent + queue.retention > now)
        })
    }

    /// When the messages of a queue can be received, earliest first; without those that get too old before.
    pub(crate) fn visible_times(&self, url: &str) -> Vec<Duration> {
        let Some(queue) = self.queues.get(url) else {
            return Vec::new();
        };
        let mut times: Vec<_> = queue
            .messages
            .iter()
            .filter(|message| message.sent + queue.retention > message.visible_at)
            .map(|message| message.visible_at)
            .collect();
        times.sort_unstable();
        times
    }

    /// Moves every visible message as `StartMessageMoveTask` does: it arrives as a new message, with a new id, a new
    /// enqueue time and no receives. Gives how many were moved.
    ///
    /// # Errors
    /// If one of the queues does not exist.
    pub fn move_all(&mut self, now: Duration, from: &str, to: &str) -> Result<usize, QueueProblem> {
        self.queue(now, to)?;
        let source = self.queue(now, from)?;
        let moving: Vec<_> = source
            .messages
            .extract_if(.., |message| message.visible_at <= now)
            .collect();
        let count = moving.len();
        for message in moving {
            let draft = Draft {
                body: message.body,
                attributes: message.attributes,
                trace_header: message.trace_header,
                delay: Duration::ZERO,
            };
            self.send(now, to, draft)?;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A retry queue with figures of its own, so that nobody's tuning breaks a test, and one message in it.
    fn queues(draft: Draft) -> Queues {
        let mut queues = Queues::default();
        let retry = queues.queues.get_mut(RETRY_QUEUE_URL).unwrap();
        retry.visibility_timeout = at(900);
        retry.redrive = Some(Redrive {
            max_receive_count: 5,
            dead_letter_url: DEAD_LETTER_QUEUE_URL.to_owned(),
        });
        queues.send(at(0), RETRY_QUEUE_URL, draft).unwrap();
        queues
    }

    #[test]
    fn a_received_message_is_invisible_until_its_timeout() {
        let mut queues = queues(Draft::text("x"));
        let first = queues.receive(at(1), RETRY_QUEUE_URL, 10).unwrap();
        assert_eq!(first.len(), 1);
        assert_eq!(
            queues.depth(at(900), RETRY_QUEUE_URL),
            Depth {
                in_flight: 1,
                ..Depth::default()
            }
        );
        assert_eq!(queues.receive(at(900), RETRY_QUEUE_URL, 10).unwrap(), []);
        let second = queues.receive(at(901), RETRY_QUEUE_URL, 10).unwrap();
        assert_eq!(
            (second[0].receive_count, second[0].first_received),
            (2, Some(at(1)))
        );
        // Only the last receive can delete.
        let handle = |message: &Message| message.receipt.clone().unwrap();
        assert_eq!(
            queues.delete(at(902), RETRY_QUEUE_URL, &handle(&first[0])),
            Err(QueueProblem::UnknownReceipt)
        );
        assert_eq!(
            queues.delete(at(902), RETRY_QUEUE_URL, &handle(&second[0])),
            Ok(())
        );
        assert_eq!(queues.depth(at(902), RETRY_QUEUE_URL).total(), 0);
    }

    #[test]
    fn a_changed_visibility_decides_when_the_message_comes_back() {
        let mut queues = queues(Draft::text("x"));
        let receipt = queues.receive(at(0), RETRY_QUEUE_URL, 1).unwrap()[0]
            .receipt
            .clone()
            .unwrap();
        queues
            .change_visibility(at(5), RETRY_QUEUE_URL, &receipt, at(60))
            .unwrap();
        assert_eq!(queues.receive(at(64), RETRY_QUEUE_URL, 1).unwrap(), []);
        assert_eq!(queues.receive(at(65), RETRY_QUEUE_URL, 1).unwrap().len(), 1);
    }

    #[test]
    fn a_delayed_message_appears_after_its_delay() {
        let mut queues = queues(Draft {
            delay: at(300),
            ..Draft::text("x")
        });
        assert_eq!(
            queues.depth(at(299), RETRY_QUEUE_URL),
            Depth {
                delayed: 1,
                ..Depth::default()
            }
        );
        assert_eq!(queues.receive(at(299), RETRY_QUEUE_URL, 1).unwrap(), []);
        assert_eq!(
            queues.receive(at(300), RETRY_QUEUE_URL, 1).unwrap().len(),
            1
        );
    }

    #[test]
    fn a_message_received_too_often_moves_and_keeps_its_id_and_enqueue_time() {
        let mut queues = queues(Draft::text("x"));
        let id = queues.queues[RETRY_QUEUE_URL].messages[0].id.clone();
        for round in 0..5 {
            assert_eq!(
                queues
                    .receive(at(900 * round), RETRY_QUEUE_URL, 1)
                    .unwrap()
                    .len(),
                1,
                "round {round}"
            );
        }
        assert_eq!(queues.receive(at(4500), RETRY_QUEUE_URL, 1).unwrap(), []);
        assert_eq!(queues.depth(at(4500), RETRY_QUEUE_URL).total(), 0);
        let moved = &queues.queues[DEAD_LETTER_QUEUE_URL].messages[0];
        assert_eq!(
            (&moved.id, moved.sent, moved.receive_count),
            (&id, at(0), 5)
        );
        assert_eq!(queues.depth(at(4500), DEAD_LETTER_QUEUE_URL).visible, 1);
    }

    #[test]
    fn a_message_is_kept_for_the_retention_only_counted_from_its_enqueue_time() {
        let mut queues = queues(Draft::text("x"));
        queues.queues.get_mut(RETRY_QUEUE_URL).unwrap().retention = at(100);
        // A receive does not prolong its life.
        queues.receive(at(50), RETRY_QUEUE_URL, 1).unwrap();
        assert_eq!(queues.depth(at(99), RETRY_QUEUE_URL).total(), 1);
        assert_eq!(queues.depth(at(100), RETRY_QUEUE_URL).total(), 0);
        assert_eq!(queues.receive(at(950), RETRY_QUEUE_URL, 1).unwrap(), []);
    }

    #[test]
    fn a_move_task_sends_the_messages_as_new_ones() {
        let mut queues = Queues::default();
        let id = queues
            .send(at(0), DEAD_LETTER_QUEUE_URL, Draft::text("x"))
            .unwrap();
        queues.receive(at(0), DEAD_LETTER_QUEUE_URL, 1).unwrap();
        assert_eq!(
            queues.move_all(at(29), DEAD_LETTER_QUEUE_URL, RETRY_QUEUE_URL),
            Ok(0)
        );
        assert_eq!(
            queues.move_all(at(30), DEAD_LETTER_QUEUE_URL, RETRY_QUEUE_URL),
            Ok(1)
        );
        assert_eq!(queues.depth(at(30), DEAD_LETTER_QUEUE_URL).total(), 0);
        let moved = &queues.queues[RETRY_QUEUE_URL].messages[0];
        assert_ne!(moved.id, id);
        assert_eq!(
            (moved.sent, moved.receive_count, moved.body.as_str()),
            (at(30), 0, "x")
        );
    }

    #[test]
    fn a_queue_that_does_not_exist_is_an_error() {
        assert_eq!(
            Queues::default().send(at(0), "nowhere", Draft::text("x")),
            Err(QueueProblem::NoSuchQueue)
        );
    }
}
