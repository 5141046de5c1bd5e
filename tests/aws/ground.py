"""What instances and balancers stand on: a network, a role, and a launch template whose instances join the cluster that
their tag names."""

import base64
import json
import time

from account import CLUSTER_TAG, PATH, PREFIX, tags

NETWORK = "10.0.0.0/16"
SUBNETS = ["10.0.0.0/20", "10.0.16.0/20"]

IMAGE = "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id"

# Of every container. (Source: the Amazon ECR Public Gallery, Docker Official Images.)
CONTAINER = "public.ecr.aws/docker/library/busybox:1.37"

# The policy that ECS's guide names for container instances.
POLICY = "arn:aws:iam::aws:policy/service-role/AmazonEC2ContainerServiceforEC2Role"

# Ports on which an instance answers a balancer's health checks; tasks are given ports from 32768 on.
PORTS = "80 8080 8081"

# How long a new instance profile is unknown elsewhere, in seconds. (Source: IAM user guide, "Changes that I make are
# not always immediately visible".)
PROFILE = 15

USER_DATA = f"""#!/bin/bash
imds=http://169.254.169.254/latest
for _ in $(seq 60); do
  token=$(curl -sf -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 300' $imds/api/token)
  cluster=$(curl -sf -H "X-aws-ec2-metadata-token: $token" $imds/meta-data/tags/instance/{CLUSTER_TAG}) && break
  sleep 2
done
cat >>/etc/ecs/ecs.config <<END
ECS_CLUSTER=$cluster
ECS_WARM_POOLS_CHECK=true
END
mkdir -p /run/page
for port in {PORTS}; do
  (cd /run/page && nohup python3 -m http.server $port >/dev/null 2>&1 &)
done
"""


def make(account, run, instance_type):
    """Makes all of it; what the statements and the drains need to know."""
    ec2, name = account.client("ec2"), f"{PREFIX}-{run}"

    def tagged(kind):
        return [{"ResourceType": kind, "Tags": tags(run, Name=name)}]

    vpc = ec2.create_vpc(CidrBlock=NETWORK, TagSpecifications=tagged("vpc"))["Vpc"]["VpcId"]
    gateway = ec2.create_internet_gateway(TagSpecifications=tagged("internet-gateway"))
    gateway = gateway["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    table = ec2.create_route_table(VpcId=vpc, TagSpecifications=tagged("route-table"))["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    subnets = []
    for zone, block in zip(zones(account, instance_type), SUBNETS, strict=True):
        made = ec2.create_subnet(VpcId=vpc, CidrBlock=block, AvailabilityZone=zone, TagSpecifications=tagged("subnet"))
        subnets.append(made["Subnet"]["SubnetId"])
        ec2.associate_route_table(RouteTableId=table, SubnetId=subnets[-1])
    group = ec2.create_security_group(
        GroupName=name, Description=name, VpcId=vpc, TagSpecifications=tagged("security-group")
    )["GroupId"]
    # Nobody outside of the network reaches anything in it.
    ec2.authorize_security_group_ingress(
        GroupId=group,
        IpPermissions=[{"IpProtocol": "tcp", "FromPort": 0, "ToPort": 65535, "IpRanges": [{"CidrIp": NETWORK}]}],
    )
    profile = make_profile(account, run, name)
    template = make_template(account, run, name, instance_type, group, profile)
    return {"vpc": vpc, "subnets": subnets, "security_group": group, "launch_template": template}


def zones(account, instance_type):
    """Two zones that have the instance type."""
    offered = account.pages(
        *("ec2", "describe_instance_type_offerings", "InstanceTypeOfferings"),
        LocationType="availability-zone",
        Filters=[{"Name": "instance-type", "Values": [instance_type]}],
    )
    found = sorted(offer["Location"] for offer in offered)
    if len(found) < 2:
        raise RuntimeError(f"{account.region} has {instance_type} in {len(found)} zones, and balancers need two")
    return found[:2]


def make_profile(account, run, name):
    """The instance profile of container instances; its ARN."""
    iam = account.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    iam.create_role(RoleName=name, Path=PATH, AssumeRolePolicyDocument=document, Tags=tags(run))
    if not account.endpoint:
        iam.attach_role_policy(RoleName=name, PolicyArn=POLICY)
    made = iam.create_instance_profile(InstanceProfileName=name, Path=PATH, Tags=tags(run))
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    time.sleep(account.settle(PROFILE))
    return made["InstanceProfile"]["Arn"]


def make_template(account, run, name, instance_type, security_group, profile):
    """The launch template; its id."""
    image = account.client("ssm").get_parameter(Name=IMAGE)["Parameter"]["Value"]
    on_each = [{"ResourceType": kind, "Tags": tags(run)} for kind in ("instance", "volume", "network-interface")]
    interface = {"DeviceIndex": 0, "AssociatePublicIpAddress": True, "Groups": [security_group]}
    made = account.client("ec2").create_launch_template(
        LaunchTemplateName=name,
        TagSpecifications=[{"ResourceType": "launch-template", "Tags": tags(run)}],
        LaunchTemplateData={
            "ImageId": image,
            "InstanceType": instance_type,
            "IamInstanceProfile": {"Arn": profile},
            "NetworkInterfaces": [interface],
            "UserData": base64.b64encode(USER_DATA.encode()).decode(),
            "MetadataOptions": {"HttpTokens": "required", "InstanceMetadataTags": "enabled"},
            # Without it a burst costs extra.
            "CreditSpecification": {"CpuCredits": "standard"},
            "TagSpecifications": on_each,
        },
    )
    return made["LaunchTemplate"]["LaunchTemplateId"]
