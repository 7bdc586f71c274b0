# The stacks of a release, from Terraform. It wraps the release's templates and repeats nothing of them. It belongs
# beside the release's files, after `aws cloudformation package` of docs/deploy.md has written packaged.yaml there.

terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

variable "bucket" {
  description = "The bucket that the package was uploaded to, in the Region of the functions."
  type        = string
}

variable "management_account_id" {
  description = "Id of the organization's management account."
  type        = string
}

variable "regions" {
  description = "Regions in which accounts are to be members."
  type        = list(string)
}

# GuardDuty's delegated administrator, in the Region of the functions.
provider "aws" {
  profile = "administrator"
  region  = "eu-west-1"
}

# The management account, in the Region where Organizations' events arrive.
provider "aws" {
  alias   = "management"
  profile = "management"
  region  = "us-east-1"
}

data "aws_s3_bucket" "packages" {
  bucket = var.bucket
}

# The template is larger than what CloudFormation takes without a bucket. Its sum in the name tells Terraform of a new one.
resource "aws_s3_object" "template" {
  bucket = data.aws_s3_bucket.packages.id
  key    = "guardduty-enroller/${filesha256("${path.module}/packaged.yaml")}.yaml"
  source = "${path.module}/packaged.yaml"
}

resource "aws_cloudformation_stack" "administrator" {
  name         = "guardduty-enroller"
  template_url = "https://${data.aws_s3_bucket.packages.bucket_regional_domain_name}/${aws_s3_object.template.key}"
  capabilities = ["CAPABILITY_IAM"]

  parameters = {
    ManagementAccountId = var.management_account_id
    Regions             = join(",", var.regions)
  }
}

resource "aws_cloudformation_stack" "management" {
  provider      = aws.management
  name          = "guardduty-enroller-events"
  template_body = file("${path.module}/management-account.yaml")
  capabilities  = ["CAPABILITY_IAM"]

  parameters = {
    EventBusArn = aws_cloudformation_stack.administrator.outputs["EventBusArn"]
  }
}
