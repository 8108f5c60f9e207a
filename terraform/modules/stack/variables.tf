variable "name" {
  description = "Prefix of all names."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,30}$", var.name))
    error_message = "name must be 3 to 31 lower-case letters, digits and dashes, and begin with a letter."
  }
}

variable "network" {
  description = "Address range, zones, and whether each zone has a NAT gateway of its own."
  type = object({
    cidr               = optional(string, "10.40.0.0/16")
    availability_zones = list(string)
    nat_per_zone       = optional(bool, true)
  })
}

variable "brokers" {
  description = "See the module kafka."
  type = object({
    instance_type = optional(string, "kafka.m7g.large")
    per_zone      = optional(number, 1)
    disk_gib      = optional(number, 200)
  })
  default = {}
}

variable "redis" {
  description = "Size of a node and number of replicas."
  type = object({
    node_type = optional(string, "cache.r7g.large")
    replicas  = optional(number, 1)
  })
  default = {}
}

variable "database" {
  description = "See the module mlflow."
  type = object({
    instance_class      = optional(string, "db.t4g.small")
    disk_gib            = optional(number, 20)
    multi_az            = optional(bool, true)
    backup_days         = optional(number, 14)
    deletion_protection = optional(bool, true)
  })
  default = {}
}

variable "nodes" {
  description = "See the module kubernetes."
  type = object({
    instance_types = optional(list(string), ["m7i.large"])
    minimum        = optional(number, 2)
    maximum        = optional(number, 6)
    disk_gib       = optional(number, 50)
  })
  default = {}
}

variable "administrators" {
  description = "ARNs of IAM roles that administer the cluster."
  type        = set(string)
  default     = []
}

variable "image_tag" {
  description = "Tag of the images in the registry."
  type        = string
  validation {
    condition     = var.image_tag != "latest" && var.image_tag != ""
    error_message = "image_tag must be a tag that stays, as 0.1.0."
  }
}

variable "chart_values" {
  description = "More values of the chart, as YAML."
  type        = list(string)
  default     = []
}

variable "api" {
  description = "The API on Fargate: certificate, its name, secret with the keys, size; null: none."
  type = object({
    certificate_arn = string
    domain_name     = string
    keys_secret_arn = string
    size = optional(object({
      cpu                = optional(number, 512)
      memory_mib         = optional(number, 1024)
      minimum            = optional(number, 2)
      maximum            = optional(number, 8)
      target_cpu_percent = optional(number, 60)
    }), {})
  })
  default = null
}

variable "alarm_emails" {
  description = "Addresses that alarms go to."
  type        = set(string)
  default     = []
}

variable "protected" {
  description = "Whether a plan that would remove Kafka, Redis, the models or the data key, or make one anew, is refused."
  type        = bool
  default     = true
}
