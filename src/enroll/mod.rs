//! The enrollment of pairs in all Regions at once.

pub(crate) mod all_regions;
pub(crate) mod one_region;
pub(crate) mod rate_limiter;
