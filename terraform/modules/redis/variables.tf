variable "name" {
  description = "Prefix of all names."
  type        = string
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets."
  type        = list(string)
}

variable "client_security_group_ids" {
  description = "Security groups whose members may reach Redis, by what they are."
  type        = map(string)
}

variable "kms_key_arn" {
  description = "Key that encrypts data and secrets."
  type        = string
}

variable "node_type" {
  description = "Size of the nodes. About 1 kB a card and 2 kB a terminal and partition."
  type        = string
  default     = "cache.r7g.large"
  validation {
    condition     = startswith(var.node_type, "cache.")
    error_message = "node_type begins with cache."
  }
}

variable "replicas" {
  description = "Replicas beside the primary; one or more, in other zones, are needed for failover."
  type        = number
  default     = 1
  validation {
    condition     = var.replicas >= 1 && var.replicas <= 5
    error_message = "replicas must be 1 to 5: without one, a failed node takes the state with it, and it is rebuilt from the topics."
  }
}

variable "snapshot_days" {
  description = "Days that the daily snapshot is kept. State can be rebuilt from the topics: it only shortens that."
  type        = number
  default     = 3
}

variable "consumer_group" {
  description = "Consumer group of the workers: their state lies under its name, and users reach nothing else."
  type        = string
  default     = "fraudstream"
}
