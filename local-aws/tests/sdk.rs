//! The SDK's own clients understand what the cloud writes, in virtual time.

use std::time::Duration;

use aws_sdk_guardduty::error::ProvideErrorMetadata;
use aws_sdk_guardduty::types::AccountDetail;
use local_aws::in_process::http_client;
use local_aws::{Cloud, Fault, FaultKind, NEW_ACCOUNT, OTHER_ACCOUNT, RETRY_QUEUE_URL, Setup};
use tokio::time::Instant;

/// Each SDK crate has types of its own, with the same names.
macro_rules! client {
    ($sdk:ident, $cloud:expr) => {
        $sdk::Client::from_conf(
            $sdk::Config::builder()
                .behavior_version($sdk::config::BehaviorVersion::v2026_01_12())
                .region($sdk::config::Region::new("eu-west-1"))
                .credentials_provider($sdk::config::Credentials::new(
                    "AKIDEXAMPLE",
                    "secret",
                    None,
                    None,
                    "test",
                ))
                .http_client(http_client($cloud))
                .build(),
        )
    };
}

#[tokio::test(start_paused = true)]
async fn an_account_becomes_a_member() {
    let cloud = Cloud::new(&Setup::default());
    let account = client!(aws_sdk_organizations, &cloud)
        .describe_account()
        .account_id(NEW_ACCOUNT)
        .send()
        .await
        .unwrap();
    let email = account.account().unwrap().email().unwrap().to_owned();
    let guardduty = client!(aws_sdk_guardduty, &cloud);
    let detectors = guardduty.list_detectors().send().await.unwrap();
    let detector = detectors.detector_ids().first().unwrap();
    let detail = |id: &str| {
        AccountDetail::builder()
            .account_id(id)
            .email(&email)
            .build()
    };
    let created = guardduty
        .create_members()
        .detector_id(detector)
        .account_details(detail(NEW_ACCOUNT))
        .account_details(detail("999999999999"))
        .send()
        .await
        .unwrap();
    assert_eq!(
        created.unprocessed_accounts().first().unwrap().account_id(),
        Some("999999999999")
    );
    let members = guardduty
        .get_members()
        .detector_id(detector)
        .account_ids(NEW_ACCOUNT)
        .send()
        .await
        .unwrap();
    assert_eq!(
        members.members().first().unwrap().relationship_status(),
        Some("Enabled")
    );
    let mut pages = guardduty
        .list_members()
        .detector_id(detector)
        .only_associated("false")
        .into_paginator()
        .send();
    assert_eq!(pages.next().await.unwrap().unwrap().members().len(), 1);
    let organization = guardduty
        .describe_organization_configuration()
        .detector_id(detector)
        .send()
        .await
        .unwrap();
    assert_eq!(organization.member_account_limit_reached(), Some(false));
}

#[tokio::test(start_paused = true)]
async fn errors_arrive_with_their_code_and_message() {
    let cloud = Cloud::new(&Setup::default());
    let organizations = client!(aws_sdk_organizations, &cloud);
    let error = organizations
        .describe_account()
        .account_id("999999999999")
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    assert!(error.is_account_not_found_exception(), "{error:?}");
    let guardduty = client!(aws_sdk_guardduty, &cloud);
    let error = guardduty
        .get_members()
        .detector_id("none")
        .account_ids(NEW_ACCOUNT)
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    assert!(error.is_bad_request_exception(), "{error:?}");
    assert_eq!(
        error.message(),
        Some(
            "The request is rejected because the input detectorId is not owned by the current account."
        )
    );
    let sqs = client!(aws_sdk_sqs, &cloud);
    let error = sqs
        .send_message()
        .queue_url("https://sqs.eu-west-1.amazonaws.com/222222222222/none")
        .message_body("x")
        .send()
        .await;
    let error = error.unwrap_err().into_service_error();
    assert!(error.is_queue_does_not_exist(), "{error:?}");
    assert_eq!(
        error.meta().code(),
        Some("AWS.SimpleQueueService.NonExistentQueue")
    );
    let error = client!(aws_sdk_account, &cloud)
        .list_regions()
        .max_results(51)
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    assert!(error.is_validation_exception(), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_message_goes_through_a_queue() {
    let cloud = Cloud::new(&Setup::default());
    let sqs = client!(aws_sdk_sqs, &cloud);
    let entry = aws_sdk_sqs::types::SendMessageBatchRequestEntry::builder()
        .id("a")
        .message_body(OTHER_ACCOUNT)
        .message_attributes(
            "reason",
            aws_sdk_sqs::types::MessageAttributeValue::builder()
                .data_type("String")
                .string_value("unknown")
                .build()
                .unwrap(),
        )
        .build()
        .unwrap();
    let sent = sqs
        .send_message_batch()
        .queue_url(RETRY_QUEUE_URL)
        .entries(entry)
        .send()
        .await
        .unwrap();
    assert_eq!((sent.successful().len(), sent.failed().len()), (1, 0));
    let received = sqs
        .receive_message()
        .queue_url(RETRY_QUEUE_URL)
        .send()
        .await
        .unwrap();
    let receipt = received
        .messages()
        .first()
        .unwrap()
        .receipt_handle()
        .unwrap()
        .to_owned();
    sqs.change_message_visibility()
        .queue_url(RETRY_QUEUE_URL)
        .receipt_handle(&receipt)
        .visibility_timeout(0)
        .send()
        .await
        .unwrap();
    let received = sqs
        .receive_message()
        .queue_url(RETRY_QUEUE_URL)
        .send()
        .await
        .unwrap();
    let receipt = received
        .messages()
        .first()
        .unwrap()
        .receipt_handle()
        .unwrap()
        .to_owned();
    sqs.delete_message()
        .queue_url(RETRY_QUEUE_URL)
        .receipt_handle(receipt)
        .send()
        .await
        .unwrap();
    assert_eq!(
        cloud
            .lock()
            .queues
            .depth(cloud.elapsed(), RETRY_QUEUE_URL)
            .total(),
        0
    );
}

#[tokio::test(start_paused = true)]
async fn latency_and_delays_pass_in_virtual_time() {
    let cloud = Cloud::new(&Setup {
        latency: Duration::from_secs(2),
        ..Setup::default()
    });
    cloud.lock().faults.push(Fault::always(
        "ListRegions",
        FaultKind::Delay(Duration::from_secs(3)),
    ));
    let before = Instant::now();
    let regions = client!(aws_sdk_account, &cloud)
        .list_regions()
        .send()
        .await
        .unwrap();
    assert_eq!(regions.regions().len(), 4);
    assert_eq!(before.elapsed(), Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_connection_is_an_io_error_which_the_sdk_retries() {
    let cloud = Cloud::new(&Setup::default());
    cloud
        .lock()
        .faults
        .push(Fault::always("ListDetectors", FaultKind::Drop { effect: false }).first(3));
    let guardduty = client!(aws_sdk_guardduty, &cloud);
    let error = guardduty.list_detectors().send().await.unwrap_err();
    assert!(
        matches!(&error, aws_sdk_guardduty::error::SdkError::DispatchFailure(failure) if failure.is_io()),
        "{error:?}"
    );
    assert_eq!(cloud.lock().calls.len(), 3);
    assert!(guardduty.list_detectors().send().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn garbage_is_no_answer_and_an_empty_body_reads_as_nothing_unprocessed() {
    let cloud = Cloud::new(&Setup::default());
    cloud
        .lock()
        .faults
        .push(Fault::always("ListDetectors", FaultKind::Garbage));
    let guardduty = client!(aws_sdk_guardduty, &cloud);
    assert!(guardduty.list_detectors().send().await.is_err());
    cloud.lock().faults = vec![Fault::always("ListDetectors", FaultKind::Empty)];
    assert!(
        guardduty
            .list_detectors()
            .send()
            .await
            .unwrap()
            .detector_ids()
            .is_empty()
    );
}
