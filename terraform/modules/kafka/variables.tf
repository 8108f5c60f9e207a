variable "name" {
  description = "Prefix of all names."
  type        = string
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets, two or three; the brokers are spread over them."
  type        = list(string)
  validation {
    condition     = contains([2, 3], length(var.subnet_ids))
    error_message = "subnet_ids must name two or three subnets, each in a zone of its own."
  }
}

variable "client_security_group_ids" {
  description = "Security groups whose members may reach the brokers, by what they are."
  type        = map(string)
}

variable "kms_key_arn" {
  description = "Key that encrypts data, secrets and logs."
  type        = string
}

variable "kafka_version" {
  description = "Version of Kafka on MSK, with KRaft."
  type        = string
  default     = "3.9.x.kraft"
}

variable "brokers" {
  description = "Size of the brokers: instance type, brokers in each zone, disk of each in GiB."
  type = object({
    instance_type = optional(string, "kafka.m7g.large")
    per_zone      = optional(number, 1)
    disk_gib      = optional(number, 200)
  })
  default = {}
  validation {
    condition     = startswith(var.brokers.instance_type, "kafka.") && var.brokers.per_zone >= 1 && var.brokers.disk_gib >= 10
    error_message = "brokers: instance_type begins with kafka., per_zone is at least 1, disk_gib at least 10."
  }
}

variable "topic_defaults" {
  description = "What topics get that `fraudstream topics` makes: copies of each partition, how many must be in step, hours that records are kept."
  type = object({
    replication_factor  = optional(number, 3)
    min_insync_replicas = optional(number, 2)
    retention_hours     = optional(number, 960)
  })
  default = {}
  validation {
    condition     = var.topic_defaults.min_insync_replicas <= var.topic_defaults.replication_factor
    error_message = "topic_defaults: min_insync_replicas must not be above replication_factor, else nothing can be written."
  }
  validation {
    condition     = var.topic_defaults.retention_hours >= 912
    error_message = "topic_defaults: retention_hours must be at least 912 (38 days): lost state is rebuilt from the topics."
  }
}

variable "log_retention_days" {
  description = "Days that broker logs are kept."
  type        = number
  default     = 365
}
