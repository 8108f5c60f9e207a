variable "name" {
  description = "Prefix of all names."
  type        = string
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "vpc_cidr" {
  description = "Its address range: what tasks may reach inside it."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets."
  type        = list(string)
}

variable "kms_key_arn" {
  description = "Key that encrypts logs."
  type        = string
}

variable "image" {
  description = "Image of the API: target `worker` of the Dockerfile."
  type        = string
}

variable "certificate_arn" {
  description = "Certificate of ACM for the load balancer. API Gateway checks it against `domain_name`."
  type        = string
  validation {
    condition     = startswith(var.certificate_arn, "arn:")
    error_message = "certificate_arn must be the ARN of a certificate in ACM."
  }
}

variable "domain_name" {
  description = "Name in that certificate."
  type        = string
}

variable "environment" {
  description = "Settings of the program, without secrets: FRAUDSTREAM_*."
  type        = map(string)
}

variable "secrets" {
  description = "Settings whose values are secrets: ARN in Secrets Manager, with the key where it holds several, as `arn:…:password::`."
  type        = map(string)
}

variable "secret_arns" {
  description = "ARNs of the secrets that `secrets` names: what the tasks may read."
  type        = set(string)
}

variable "keys_secret_arn" {
  description = "Existing secret whose text is the file of the API's keys, as `fraudstream api-key` makes it: hashes."
  type        = string
}

variable "port" {
  description = "Port that the API listens on."
  type        = number
  default     = 8000
}

variable "size" {
  description = "Tasks: CPU units, memory in MiB, least and most of them, mean CPU in percent that they are scaled to."
  type = object({
    cpu                = optional(number, 512)
    memory_mib         = optional(number, 1024)
    minimum            = optional(number, 2)
    maximum            = optional(number, 8)
    target_cpu_percent = optional(number, 60)
  })
  default = {}
  validation {
    condition     = contains([256, 512, 1024, 2048, 4096], var.size.cpu) && var.size.minimum >= 1 && var.size.minimum <= var.size.maximum
    error_message = "size: cpu is one of 256, 512, 1024, 2048, 4096; minimum is at least 1 and not above maximum."
  }
}

variable "log_retention_days" {
  description = "Days that logs are kept."
  type        = number
  default     = 365
}
