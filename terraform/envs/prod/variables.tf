variable "region" {
  description = "AWS region."
  type        = string
  default     = "eu-central-1"
}

variable "availability_zones" {
  description = "Zones of that region, three."
  type        = list(string)
  default     = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
  validation {
    condition     = length(var.availability_zones) == 3
    error_message = "availability_zones must name three zones: Kafka keeps three copies."
  }
}

variable "cost_center" {
  description = "Who pays, as a tag of everything."
  type        = string
}

variable "image_tag" {
  description = "Tag of the images to run."
  type        = string
}

variable "administrators" {
  description = "ARNs of IAM roles that administer the cluster."
  type        = set(string)
}

variable "alarm_emails" {
  description = "Addresses that alarms go to."
  type        = set(string)
  default     = []
}

variable "api" {
  description = "The API on Fargate: ARN of a certificate in ACM, the name in it, ARN of the secret with the keys; null: none."
  type = object({
    certificate_arn = string
    domain_name     = string
    keys_secret_arn = string
  })
  default = null
}
