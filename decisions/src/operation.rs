//! An operation of AWS that the function calls.

use core::fmt;

macro_rules! operations {
    ($($service:ident { $($operation:ident),+ })+) => {
        /// An AWS operation, by AWS's own name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Operation { $($($operation,)+)+ }

        /// An AWS service.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Service { $($service,)+ }

        impl Operation {
            /// The service that has this operation.
            #[must_use]
            pub const fn service(self) -> Service {
                match self { $($(Self::$operation => Service::$service,)+)+ }
            }
        }
    };
}

operations! {
    Account { ListRegions }
    GuardDuty {
        CreateMembers, DescribeOrganizationConfiguration, GetMemberDetectors, GetMembers, GetOrganizationStatistics,
        ListDetectors, ListMembers, StartMonitoringMembers
    }
    Organizations { DescribeAccount, DescribeEffectivePolicy, ListAccounts }
    Sqs { ChangeMessageVisibilityBatch, SendMessageBatch }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
