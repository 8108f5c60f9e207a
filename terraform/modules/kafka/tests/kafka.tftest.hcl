# terraform test (1.7 and later: mock providers). No account is needed.
mock_provider "aws" {}
mock_provider "random" {}

variables {
  name                      = "fraud-test"
  vpc_id                    = "vpc-1"
  subnet_ids                = ["subnet-1", "subnet-2", "subnet-3"]
  client_security_group_ids = { workers = "sg-1" }
  kms_key_arn               = "arn:aws:kms:eu-central-1:123456789012:key/1"
}

run "three_zones" {
  command = plan
  assert {
    condition     = aws_msk_cluster.this.number_of_broker_nodes == 3
    error_message = "A broker in each zone."
  }
  assert {
    condition     = strcontains(aws_msk_configuration.this.server_properties, "default.replication.factor=3") && strcontains(aws_msk_configuration.this.server_properties, "min.insync.replicas=2")
    error_message = "Three copies, two of them in step."
  }
  assert {
    condition     = aws_msk_cluster.this.encryption_info[0].encryption_in_transit[0].client_broker == "TLS"
    error_message = "Nothing without TLS."
  }
}

run "two_zones_keep_two_copies" {
  command = plan
  variables {
    subnet_ids = ["subnet-1", "subnet-2"]
  }
  assert {
    condition     = strcontains(aws_msk_configuration.this.server_properties, "default.replication.factor=2")
    error_message = "No more copies than brokers."
  }
}

run "a_log_too_short_for_a_rebuild_is_refused" {
  command = plan
  variables {
    topic_defaults = { retention_hours = 168 }
  }
  expect_failures = [var.topic_defaults]
}

run "one_subnet_is_refused" {
  command = plan
  variables {
    subnet_ids = ["subnet-1"]
  }
  expect_failures = [var.subnet_ids]
}
