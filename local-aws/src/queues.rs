//! Queues with SQS's rules for visibility, retention and redrive, in virtual time and without a wire.

use std::collections::BTreeMap;
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
    /// Every message, in the order of arrival.
    pub messages: Vec<Message>,
    pub(crate) visibility_timeout: Duration,
    /// How long a message is kept, counted from its enqueue time.
    pub(crate) retention: Duration,
    pub(crate) redrive: Option<Redrive>,
}

/// How often a message can be received, and where it goes instead of being received once more.
#[derive(Clone, Debug)]
pub(crate) struct Redrive {
    pub(crate) max_receive_count: u32,
    pub(crate) dead_letter_url: String,
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

impl Default for Queues {
    /// The function's two queues, as its template makes them.
    fn default() -> Self {
        let dead_letters = Queue {
            messages: Vec::new(),
            // The default of SQS.
            visibility_timeout: Duration::from_secs(30),
            retention: 14 * DAY,
            redrive: None,
        };
        let retry = Queue {
            visibility_timeout: Duration::from_secs(370),
            retention: 4 * DAY,
            redrive: Some(Redrive {
                max_receive_count: 12,
                dead_letter_url: DEAD_LETTER_QUEUE_URL.to_owned(),
            }),
            ..dead_letters.clone()
        };
        let queues = BTreeMap::from([
            (DEAD_LETTER_QUEUE_URL.to_owned(), dead_letters),
            (RETRY_QUEUE_URL.to_owned(), retry),
        ]);
        Self { queues, counter: 0 }
    }
}

impl Queue {
    fn keeps(&self, message: &Message, now: Duration) -> bool {
        message.sent + self.retention > now
    }

    fn find(&mut self, receipt: &str) -> Result<&mut Message, QueueProblem> {
        let mut messages = self.messages.iter_mut();
        let found = messages.find(|message| message.receipt.as_deref() == Some(receipt));
        found.ok_or(QueueProblem::UnknownReceipt)
    }
}

impl Queues {
    /// A queue without the messages that are too old.
    fn queue(&mut self, now: Duration, url: &str) -> Result<&mut Queue, QueueProblem> {
        let queue = self.queues.get_mut(url).ok_or(QueueProblem::NoSuchQueue)?;
        let retention = queue.retention;
        queue.messages.retain(|message| message.sent + retention > now);
        Ok(queue)
    }

    /// Sends a message and gives its id.
    ///
    /// # Errors
    /// If there is no such queue.
    pub fn send(&mut self, now: Duration, url: &str, draft: Draft) -> Result<String, QueueProblem> {
        self.counter += 1;
        let id = format!("00000000-0000-4000-9000-{:012x}", self.counter);
        let message = Message {
            id: id.clone(),
            body: draft.body,
            attributes: draft.attributes,
            sent: now,
            receive_count: 0,
            visible_at: now + draft.delay,
            first_received: None,
            last_received: None,
            receipt: None,
        };
        self.queue(now, url)?.messages.push(message);
        Ok(id)
    }

    /// Receives up to `max` messages, which then stay invisible for `timeout` or the queue's own. A message that was
    /// received as often as the redrive policy allows moves instead, unchanged: it keeps its id and its enqueue time.
    pub(crate) fn receive(
        &mut self,
        now: Duration,
        url: &str,
        max: usize,
        timeout: Option<Duration>,
    ) -> Result<Vec<Message>, QueueProblem> {
        let mut counter = self.counter;
        let queue = self.queue(now, url)?;
        let timeout = timeout.unwrap_or(queue.visibility_timeout);
        let (mut received, mut moved) = (Vec::new(), Vec::new());
        let redrive = queue.redrive.clone();
        let most = redrive.as_ref().map(|redrive| redrive.max_receive_count);
        queue.messages.retain_mut(|message| {
            if message.visible_at > now || received.len() >= max {
                return true;
            }
            if most.is_some_and(|most| message.receive_count >= most) {
                message.receipt = None;
                moved.push(message.clone());
                return false;
            }
            counter += 1;
            message.receive_count += 1;
            message.first_received.get_or_insert(now);
            message.last_received = Some(now);
            message.visible_at = now + timeout;
            message.receipt = Some(format!("receipt-{counter}-of-{}", message.id));
            received.push(message.clone());
            true
        });
        self.counter = counter;
        if let Some(redrive) = redrive
            && let Ok(dead_letters) = self.queue(now, &redrive.dead_letter_url)
        {
            dead_letters.messages.extend(moved);
        }
        Ok(received)
    }

    /// Deletes the message that this receive gave.
    pub(crate) fn delete(
        &mut self,
        now: Duration,
        url: &str,
        receipt: &str,
    ) -> Result<(), QueueProblem> {
        let queue = self.queue(now, url)?;
        let id = queue.find(receipt)?.id.clone();
        queue.messages.retain(|message| message.id != id);
        Ok(())
    }

    /// Makes a message in flight visible again `timeout` from now.
    pub(crate) fn change_visibility(
        &mut self,
        now: Duration,
        url: &str,
        receipt: &str,
        timeout: Duration,
    ) -> Result<(), QueueProblem> {
        let message = self.queue(now, url)?.find(receipt)?;
        if message.visible_at <= now {
            return Err(QueueProblem::NotInFlight);
        }
        if now + timeout > message.last_received.unwrap_or(now) + LONGEST_VISIBILITY {
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
            let state = if message.visible_at <= now {
                &mut depth.visible
            } else if message.receive_count > 0 {
                &mut depth.in_flight
            } else {
                &mut depth.delayed
            };
            *state += 1;
        }
        depth
    }

    /// The messages of a queue that are not too old.
    pub fn alive(&self, now: Duration, url: &str) -> impl Iterator<Item = &Message> {
        let queue = self.queues.get(url).into_iter();
        queue.flat_map(move |queue| {
            let messages = queue.messages.iter();
            messages.filter(move |message| queue.keeps(message, now))
        })
    }

    /// When the messages of a queue can be received, earliest first; without those that get too old before.
    pub(crate) fn visible_times(&self, url: &str) -> Vec<Duration> {
        let Some(queue) = self.queues.get(url) else {
            return Vec::new();
        };
        let messages = queue.messages.iter();
        let kept = messages.filter(|message| queue.keeps(message, message.visible_at));
        let mut times: Vec<_> = kept.map(|message| message.visible_at).collect();
        times.sort_unstable();
        times
    }

    /// Whether another queue's redrive policy names this one.
    pub(crate) fn is_dead_letter_queue(&self, url: &str) -> bool {
        let mut redrives = self.queues.values().filter_map(|queue| queue.redrive.as_ref());
        redrives.any(|redrive| redrive.dead_letter_url == url)
    }

    /// Moves every visible message as `StartMessageMoveTask` does: it arrives as a new message, with a new id, a new
    /// enqueue time and no receives. Gives how many were moved.
    ///
    /// # Errors
    /// If one of the queues does not exist.
    pub fn move_all(&mut self, now: Duration, from: &str, to: &str) -> Result<usize, QueueProblem> {
        self.queue(now, to)?;
        let messages = &mut self.queue(now, from)?.messages;
        let moving: Vec<_> = messages.extract_if(.., |message| message.visible_at <= now).collect();
        let count = moving.len();
        for message in moving {
            let draft =
                Draft { body: message.body, attributes: message.attributes, delay: Duration::ZERO };
            self.send(now, to, draft)?;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = RETRY_QUEUE_URL;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A retry queue with figures of its own, so that nobody's tuning breaks a test, and one message in it.
    fn queues(delay: u64) -> Queues {
        let mut queues = Queues::default();
        let retry = queues.queues.get_mut(URL).unwrap();
        retry.visibility_timeout = at(900);
        retry.redrive.as_mut().unwrap().max_receive_count = 5;
        let draft = Draft { delay: at(delay), ..Draft::text("x") };
        queues.send(at(0), URL, draft).unwrap();
        queues
    }

    /// The handle of the message, if it can be received.
    fn receive(queues: &mut Queues, now: u64) -> Option<String> {
        let received = queues.receive(at(now), URL, 10, None).unwrap();
        received.first().and_then(|message| message.receipt.clone())
    }

    fn depth(queues: &Queues, now: u64) -> [usize; 3] {
        let depth = queues.depth(at(now), URL);
        [depth.visible, depth.in_flight, depth.delayed]
    }

    #[test]
    fn a_received_message_is_invisible_until_its_timeout() {
        let mut queues = queues(0);
        let first = receive(&mut queues, 1).unwrap();
        assert_eq!(depth(&queues, 900), [0, 1, 0]);
        assert_eq!(receive(&mut queues, 900), None);
        let second = receive(&mut queues, 901).unwrap();
        let message = &queues.queues[URL].messages[0];
        assert_eq!((message.receive_count, message.first_received), (2, Some(at(1))));
        // Only the last receive can delete.
        let gone = Err(QueueProblem::UnknownReceipt);
        assert_eq!(queues.delete(at(902), URL, &first), gone);
        assert_eq!(queues.delete(at(902), URL, &second), Ok(()));
        assert_eq!(depth(&queues, 902), [0, 0, 0]);
    }

    #[test]
    fn a_changed_visibility_decides_when_the_message_comes_back() {
        let mut queues = queues(0);
        let receipt = receive(&mut queues, 0).unwrap();
        let mut change = |now, receipt: &str, timeout| {
            queues.change_visibility(at(now), URL, receipt, at(timeout))
        };
        assert_eq!(change(0, "nonsense", 60), Err(QueueProblem::UnknownReceipt));
        // Twelve hours are the most, counted from the receive.
        assert_eq!(change(0, &receipt, 43_200), Ok(()));
        assert_eq!(change(1, &receipt, 43_200), Err(QueueProblem::TooLong));
        assert_eq!(change(5, &receipt, 60), Ok(()));
        assert_eq!(change(65, &receipt, 60), Err(QueueProblem::NotInFlight));
        assert_eq!(receive(&mut queues, 64), None);
        assert!(receive(&mut queues, 65).is_some());
    }

    #[test]
    fn a_delayed_message_appears_after_its_delay() {
        let mut queues = queues(300);
        assert_eq!(depth(&queues, 299), [0, 0, 1]);
        assert_eq!(receive(&mut queues, 299), None);
        assert!(receive(&mut queues, 300).is_some());
    }

    #[test]
    fn a_message_received_too_often_moves_and_keeps_its_id_and_enqueue_time() {
        let mut queues = queues(0);
        let id = queues.queues[URL].messages[0].id.clone();
        for round in 0..5 {
            assert!(receive(&mut queues, 900 * round).is_some(), "round {round}");
        }
        assert_eq!(receive(&mut queues, 4500), None);
        assert_eq!(depth(&queues, 4500), [0, 0, 0]);
        let moved = &queues.queues[DEAD_LETTER_QUEUE_URL].messages[0];
        assert_eq!(moved.receipt, None);
        assert_eq!((&moved.id, moved.sent, moved.receive_count), (&id, at(0), 5));
        assert_eq!(queues.depth(at(4500), DEAD_LETTER_QUEUE_URL).visible, 1);
    }

    #[test]
    fn a_message_is_kept_for_the_retention_only_counted_from_its_enqueue_time() {
        let mut queues = queues(0);
        queues.queues.get_mut(URL).unwrap().retention = at(100);
        // A receive does not prolong its life.
        receive(&mut queues, 50);
        assert_eq!(depth(&queues, 99), [0, 1, 0]);
        assert_eq!(depth(&queues, 100), [0, 0, 0]);
        assert_eq!(receive(&mut queues, 950), None);
    }

    #[test]
    fn a_move_task_sends_the_messages_as_new_ones() {
        let mut queues = queues(0);
        let id = queues.queues[URL].messages[0].id.clone();
        receive(&mut queues, 0);
        let mut move_at = |now| queues.move_all(at(now), URL, DEAD_LETTER_QUEUE_URL);
        assert_eq!([899, 900].map(&mut move_at), [Ok(0), Ok(1)]);
        assert_eq!(depth(&queues, 900), [0, 0, 0]);
        let moved = &queues.queues[DEAD_LETTER_QUEUE_URL].messages[0];
        assert_ne!(moved.id, id);
        assert_eq!((moved.sent, moved.receive_count), (at(900), 0));
        assert_eq!(moved.body, "x");
    }

    #[test]
    fn a_queue_that_does_not_exist_is_an_error() {
        let sent = Queues::default().send(at(0), "nowhere", Draft::text("x"));
        assert_eq!(sent, Err(QueueProblem::NoSuchQueue));
    }
}
