# terraform test (1.7 and later: mock providers). No account is needed.
mock_provider "aws" {}

variables {
  name               = "fraud-test"
  availability_zones = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
  kms_key_arn        = "arn:aws:kms:eu-central-1:123456789012:key/1"
}

run "each_zone_stands_alone" {
  command = plan
  assert {
    condition     = length(aws_nat_gateway.this) == 3 && length(aws_subnet.private) == 3
    error_message = "A NAT gateway and a private subnet in each zone."
  }
  assert {
    condition     = length(distinct([for subnet in concat(values(aws_subnet.private), values(aws_subnet.public)) : subnet.cidr_block])) == 6
    error_message = "Subnets do not overlap."
  }
}

run "one_gateway_serves_all" {
  command = plan
  variables {
    nat_per_zone = false
  }
  assert {
    condition     = length(aws_nat_gateway.this) == 1 && length(aws_route.nat) == 3
    error_message = "One NAT gateway, a route to it in each zone."
  }
}

run "a_zone_named_twice_is_refused" {
  command = plan
  variables {
    availability_zones = ["eu-central-1a", "eu-central-1a"]
  }
  expect_failures = [var.availability_zones]
}
