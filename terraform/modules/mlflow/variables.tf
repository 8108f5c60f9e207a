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
  description = "Security groups whose members may reach MLflow, by what they are."
  type        = map(string)
}

variable "kms_key_arn" {
  description = "Key that encrypts database, models and logs."
  type        = string
}

variable "image" {
  description = "Image of the MLflow server: target `mlflow` of the Dockerfile."
  type        = string
}

variable "database" {
  description = "Size of the database: instance class, disk in GiB, a standby in another zone, days of backups, protection from deletion."
  type = object({
    instance_class      = optional(string, "db.t4g.small")
    disk_gib            = optional(number, 20)
    multi_az            = optional(bool, true)
    backup_days         = optional(number, 14)
    deletion_protection = optional(bool, true)
  })
  default = {}
  validation {
    condition     = startswith(var.database.instance_class, "db.") && var.database.disk_gib >= 20 && var.database.backup_days >= 1
    error_message = "database: instance_class begins with db., disk_gib is at least 20, backup_days at least 1."
  }
}

variable "log_retention_days" {
  description = "Days that logs are kept."
  type        = number
  default     = 365
}
