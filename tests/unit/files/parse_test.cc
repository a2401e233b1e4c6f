// What a YAML file becomes, and with which words and line it is refused.
#include <fstream>
#include <iterator>

#include "tests/unit/files/yaml.h"

using namespace weir::agent;

namespace {

std::string policy(const std::string& spec) {
  return "apiVersion: weir.dev/v1alpha1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: "
         "shop}\nspec: " +
         spec;
}
std::string mode(const std::string& spec) {
  return "apiVersion: weir.dev/v1alpha1\nkind: PeerAuthentication\nmetadata: {name: p, namespace: "
         "shop}\nspec: " +
         spec;
}
}  // namespace

TEST_CASE("a pod is read with its addresses, ports, labels, owner and namespace file") {
  const Pod pod = only<Pod>(R"(
apiVersion: v1
kind: Pod
metadata:
  name: web-0
  namespace: shop
  uid: 6f1c
  labels: {app: web, weir.dev/mesh: enabled}
  annotations: {weir.dev/netns: pod1}
  creationTimestamp: "2026-01-02T03:04:05Z"
  ownerReferences: [{kind: Other, name: x}, {kind: StatefulSet, name: web, controller: true}]
spec:
  nodeName: n1
  serviceAccountName: web
  containers: [{ports: [{containerPort: 80, name: http}, {containerPort: 53, protocol: UDP}]}]
  initContainers: [{ports: [{containerPort: 90}]}]
status: {phase: Running, podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: "fd00::1"}]}
)");
  CHECK(pod.uid() == "6f1c");
  CHECK(pod.node == "n1");
  CHECK(pod.service_account == "web");
  CHECK(pod.addresses == std::vector<std::string>{"10.0.0.1", "fd00::1"});
  REQUIRE(pod.ports.size() == 2);
  CHECK(pod.ports[0].name == "http");
  CHECK(pod.ports[1].port == 90);
  CHECK(pod.meta.owners.front().kind == "StatefulSet");
  CHECK(pod.meta.annotations.at(kNetnsAnnotation) == "pod1");
  CHECK(pod.meta.created_at == 1767323045);
  CHECK_FALSE(pod.meta.deleting);
}

TEST_CASE("a pod without uid and namespace is called by default/name") {
  const Pod pod = only<Pod>("apiVersion: v1\nkind: Pod\nmetadata: {name: a, deletionTimestamp: x}\n");
  CHECK(pod.uid() == "default/a");
  CHECK(pod.service_account == "default");
  CHECK(pod.meta.deleting);
}

TEST_CASE("a service is read with every address people may dial") {
  const Service service = only<Service>(R"(
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  clusterIP: 10.96.0.1
  clusterIPs: [10.96.0.1, "fd00:96::1"]
  externalIPs: [192.0.2.1]
  sessionAffinity: ClientIP
  internalTrafficPolicy: Local
  trafficDistribution: PreferClose
  publishNotReadyAddresses: true
  ports: [{port: 80, targetPort: http, name: h, appProtocol: http}, {port: 81, targetPort: 8081}, {port: 53, protocol: UDP}]
status: {loadBalancer: {ingress: [{ip: 198.51.100.1}, {hostname: x.example}]}}
)");
  CHECK(service.addresses ==
        std::vector<std::string>{"10.96.0.1", "fd00:96::1", "192.0.2.1", "198.51.100.1"});
  REQUIRE(service.ports.size() == 2);
  CHECK(service.ports[0].target_name == "http");
  CHECK(service.ports[1].target_port == 8081);
  CHECK(service.affinity_seconds == 10800);
  CHECK(service.internal_local);
  CHECK(service.publish_not_ready);
  CHECK(only<Service>("apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {clusterIP: None}\n")
            .addresses.empty());
}

TEST_CASE("conditions that an endpoint does not state have Kubernetes' defaults") {
  const EndpointSlice slice = only<EndpointSlice>(R"(
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: "", port: 8080}, {name: dns, port: 53, protocol: UDP}]
endpoints:
- {addresses: [10.0.0.1, 10.0.0.2], targetRef: {kind: Pod, name: web-0}}
- {addresses: [10.0.0.3], conditions: {ready: false, terminating: true}, zone: a, nodeName: n1, hints: {forZones: [{name: a}]}}
)");
  CHECK(slice.service == "web");
  REQUIRE(slice.ports.size() == 1);
  REQUIRE(slice.endpoints.size() == 2);
  CHECK(slice.endpoints[0].address == "10.0.0.1");
  CHECK(slice.endpoints[0].ready);
  CHECK(slice.endpoints[0].serving);
  CHECK(slice.endpoints[0].target == ObjectName{"shop", "web-0"});
  CHECK_FALSE(slice.endpoints[1].serving);
  CHECK(slice.endpoints[1].terminating);
  CHECK(slice.endpoints[1].hint_zones == std::vector<std::string>{"a"});
}

TEST_CASE("the settings are one ConfigMap, and other ConfigMaps are passed over") {
  const auto settings = only<MeshSettings>(R"(
apiVersion: v1
kind: ConfigMap
metadata: {name: weir, namespace: weir-system}
data: {podCIDRs: "10.0.0.0/8, fd00::/8", sameNode: Encrypted, unknownDestinations: Allow, sessionsPerLane: "1"}
)");
  CHECK(settings.pod_cidrs == std::vector<std::string>{"10.0.0.0/8", "fd00::/8"});
  CHECK(settings.same_node_encrypted);
  CHECK(settings.allow_unknown_destinations);
  CHECK(settings.sessions_per_lane == 1);
  CHECK_FALSE(settings.enrol_nobody);
  const std::string one = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: weir, namespace: weir-system}\n";
  CHECK(only<MeshSettings>(one + "data: {enrolment: None}\n").enrol_nobody);
  CHECK(refusal(one + "data: {enrolment: Off}\n").find("must be one of: Labels, None") != std::string::npos);
  const Parsed other =
      parse_yaml("a",
                 "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: weir, namespace: x}\n---\n"
                 "apiVersion: apps/v1\nkind: Deployment\n");
  CHECK_FALSE(other.error);
  CHECK(other.passed_over == 2);
}

TEST_CASE("text that is not UTF-8 is refused, for the proxy could read nothing of what has it") {
  const auto label = [](const std::string& value) {
    return refusal("apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {x: '" + value + "'}}\n");
  };
  for (const std::string good :
       {"\xc3\xa4", "\xe0\xa0\x80", "\xef\xbf\xbd", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    CHECK(label(good) == "accepted");
  }
  for (const std::string bad : {"\x80", "\xff", "\xc3", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80",
                                "\xf0\x80\x80\xaf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe4\xb8"}) {
    CHECK_THAT(label(bad), Catch::Contains("a.yaml:3: metadata.labels.x is not UTF-8"));
  }
  CHECK_THAT(refusal("apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {\"\xff\": b}}\n"),
             Catch::Contains("metadata.labels has a key that is not UTF-8"));
}

TEST_CASE("control characters are refused with their line, before the parser loses itself in them") {
  for (const char c : {'\0', '\x01', '\x04', '\x1b'}) {
    const std::string yaml =
        std::string("apiVersion: v1\nkind: Namespace\nmetadata: {name: a, x: ") + c + "0}\n";
    CHECK_THAT(refusal(yaml), Catch::StartsWith("a.yaml:3: the text has a control character"));
  }
  CHECK(refusal("apiVersion: v1\r\nkind: Namespace\t\r\nmetadata: {name: a}\r\n") == "accepted");
}

TEST_CASE("a character that begins nothing is refused, before the parser stands still at it") {
  const std::string good = "{apiVersion: v1, kind: Namespace, metadata: {name: a}}\n";
  CHECK_THAT(refusal(", a\n"), Catch::StartsWith("a.yaml:1: the text has a character that begins nothing"));
  CHECK_THAT(refusal(good + "---\n--- ,\n"),
             Catch::StartsWith("a.yaml:3: the text has a character that begins nothing"));
  CHECK_THAT(refusal(good + "--- &a !b ,\n"),
             Catch::StartsWith("a.yaml:2: the text has a character that begins nothing"));
  const Parsed parsed = parse_yaml("a", "---\n---\n# nothing\n---\n" + good + "...\n---\n");
  CHECK_FALSE(parsed.error);
  CHECK(parsed.objects.size() == 1);
}

TEST_CASE("what kubectl prints as a List is opened") {
  const Parsed parsed =
      parse_yaml("a",
                 "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Namespace, metadata: "
                 "{name: a}}\n- {apiVersion: v1, kind: Node, metadata: {name: n}}\n");
  CHECK(parsed.objects.size() == 2);
}

TEST_CASE("a policy without spec allows nothing and is valid") {
  const auto got = only<AuthorizationPolicy>(policy("{}"));
  CHECK(got.action == Action::allow);
  CHECK(got.rules.empty());
  CHECK(got.invalid.empty());
}

TEST_CASE("modes are read for workloads and their ports") {
  const auto peer = only<PeerAuthentication>(
      mode("{selector: {matchLabels: {a: b}}, mode: Strict, ports: {8080: Disabled}}"));
  CHECK(peer.mode == Mode::strict);
  CHECK(peer.ports.at(8080) == Mode::disabled);
}

TEST_CASE("whatever is wrong is refused with its line and the path of the field") {
  struct Row {
    std::string yaml, says;
  };
  const std::string ports_of_namespace = "spec.ports needs a selector or targetRefs";
  for (const auto& [yaml, says] : std::vector<Row>{
           {"a: [", "a.yaml:1:"},
           {"apiVersion: v1\nkind: Pod\n", "metadata is missing"},
           {"apiVersion: v1\nkind: Pod\nmetadata: {name: A}\n", "a.yaml:3: metadata.name has a character"},
           {"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nstatus:\n  podIP: 10.0.0\n",
            "a.yaml:5: status.podIP is no IP"},
           {"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nstatus: {podIPs: [{ip: 10.0.0.1}, {ip: "
            "\"ff00::1\"}]}\n",
            "a.yaml:4: status.podIPs[1].ip cannot be the address of a pod, node or service: ff00::1"},
           {"apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {clusterIP: 127.0.0.1}\n",
            "spec.clusterIP cannot be the address"},
           {"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{ports: [{containerPort: "
            "70000}]}]}\n",
            "spec.containers[0].ports[0].containerPort must be a number from 1 to 65535"},
           {"apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: [x]}\n", "metadata.labels must be a map"},
           {"apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80}, {port: 80}]}\n",
            "spec.ports[1].port is there twice: 80"},
           {"apiVersion: v1\nkind: Node\nmetadata: {name: n}\n---\napiVersion: v1\nkind: Node\nmetadata: "
            "{name: n}\n",
            "a.yaml:5: Node n is already in line 1"},
           {"apiVersion: weir.dev/v1\nkind: PeerAuthentication\nmetadata: {name: a}\n",
            "apiVersion is not known"},
           {"apiVersion: weir.dev/v1alpha1\nkind: AuthorisationPolicy\nmetadata: {name: a}\n",
            "kind is not known"},
           {policy("{acton: Deny}"),
            "a.yaml:4: spec.acton is not known; known are: selector, targetRefs, action, rules"},
           {policy("{action: deny}"), "spec.action is 'deny', must be one of: Allow, Deny, Audit"},
           {policy("{action: Deny, action: Allow}"), "spec.action is there twice"},
           {policy("{rules: [{from: []}]}"), "spec.rules[0].from is empty"},
           {policy("{rules: [{from: [{}]}]}"), "spec.rules[0].from[0] says nothing"},
           {policy("{rules: [{from: [{principals: [\"*/sa/x\"]}]}]}"), "may have a * only at its end"},
           {policy("{rules: [{from: [{ipBlocks: [10.0.0.0/33]}]}]}"), "is no IP block"},
           {policy("{rules: [{from: [{namespaces: [\"a*\"]}]}]}"), "must be a whole name"},
           {policy("{rules: [{to: [{ports: [0]}]}]}"), "spec.rules[0].to[0].ports[0] must be a number"},
           {policy("{rules: [{when: [{header: x}]}]}"), "needs values or notValues"},
           {policy("{selector: {matchLabels: {}}, targetRefs: [{kind: Service, name: a}]}"),
            "exclude each other"},
           {policy("{targetRefs: [{kind: Gateway, name: a}]}"), "must be one of: Service"},
           {mode("{ports: {80: Strict}}"), ports_of_namespace},
           {mode("{selector: {matchLabels: {a: b}}, ports: {http: Strict}}"), "must be a port number"},
           {mode("{}"), "says neither mode nor ports"},
           {mode("{mode: STRICT}"), "must be one of: Strict, Permissive, Disabled"},
           {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: weir, namespace: weir-system}\ndata: "
            "{podCidrs: x}\n",
            "data.podCidrs is not known"},
       }) {
    CAPTURE(yaml);
    CHECK_THAT(refusal(yaml), Catch::Contains(says));
  }
}

TEST_CASE(
    "a refused file's policies are known as invalid, and one that cannot be read is a Deny of its "
    "namespace") {
  const Parsed parsed =
      parse_yaml("a.yaml", policy("{selector: {matchLabels: {a: b}}, rules: [{from: [{}]}]}") + "\n---\n" +
                               "apiVersion: weir.dev/v1alpha1\nkind: AuthorizationPolicy\nmetadata: "
                               "{name: q, namespace: shop}\nspec: {action: Nope}\n");
  REQUIRE(parsed.error);
  REQUIRE(parsed.refused_policies.size() == 2);
  CHECK(parsed.refused_policies[0].action == Action::allow);
  CHECK(parsed.refused_policies[0].attachment.selector == Labels{{"a", "b"}});
  CHECK_THAT(parsed.refused_policies[0].invalid, Catch::Contains("says nothing"));
  CHECK(parsed.refused_policies[1].action == Action::deny);
  CHECK_FALSE(parsed.refused_policies[1].attachment.selector);
}

TEST_CASE("the manifests in the README are read") {
  std::ifstream file("README.md");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  size_t blocks = 0;
  const std::string fence = "```yaml\n";
  for (size_t at = text.find(fence); at != std::string::npos; at = text.find(fence, at + 1)) {
    const size_t begin = at + fence.size();
    const Parsed parsed = parse_yaml("README.md", text.substr(begin, text.find("```", begin) - begin));
    INFO((parsed.error ? parsed.error->text() : ""));
    CHECK_FALSE(parsed.error);
    CHECK(parsed.passed_over == 0);
    ++blocks;
  }
  CHECK(blocks > 0);
}
