//! What a queue's address says.

/// The parts of `https://sqs.REGION.amazonaws.com/ACCOUNT/NAME`.
pub(crate) struct QueueAddress<'a> {
    pub(crate) region: &'a str,
    pub(crate) account: &'a str,
    name: &'a str,
}

impl<'a> QueueAddress<'a> {
    /// A part that is missing is empty.
    pub(crate) fn read(url: &'a str) -> Self {
        let mut parts = url.rsplit('/');
        let mut part = || parts.next().unwrap_or_default();
        let (name, account, host) = (part(), part(), part());
        Self { region: host.split('.').nth(1).unwrap_or_default(), account, name }
    }

    pub(crate) fn arn(&self) -> String {
        format!("arn:aws:sqs:{}:{}:{}", self.region, self.account, self.name)
    }
}
