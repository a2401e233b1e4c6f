// What an AuthorizationPolicy may ask of a request, and which patterns are refused because they could never match.
#include "tests/unit/files/yaml.h"

using namespace weir::agent;

namespace {

using Texts = std::vector<std::string>;

std::string rule(const std::string& body) { return authorization_policy("{rules: [{" + body + "}]}"); }
Match to(const std::string& body) {
  return only<AuthorizationPolicy>(rule("to: [{" + body + "}]")).rules.at(0).to.at(0);
}

}  // namespace

TEST_CASE("who may be meant is read with every twin, and is nothing of layer 7") {
  const auto policy = only<AuthorizationPolicy>(authorization_policy(R"(
  selector: {matchLabels: {app: web}}
  action: Deny
  rules:
  - from:
    - {principals: ["spiffe://td/ns/a/*"], notPrincipals: [b], namespaces: [c], notNamespaces: [d]}
    - {ipBlocks: [10.0.0.0/8], notIpBlocks: [10.1.0.0/16]}
    to: [{ports: [80], notPorts: [81]}]
  - {name: mine}
)"));
  CHECK(policy.action == Action::deny);
  CHECK(policy.attachment.selector == Labels{{"app", "web"}});
  REQUIRE(policy.rules.size() == 2);
  CHECK(policy.rules[0].name == "rule 0");
  CHECK(policy.rules[1].name == "mine");
  const auto& from = policy.rules[0].from;
  CHECK(from.at(0).principals == Texts{"spiffe://td/ns/a/*"});
  CHECK(from[0].not_principals == Texts{"b"});
  CHECK(from[0].namespaces == Texts{"c"});
  CHECK(from[0].not_namespaces == Texts{"d"});
  CHECK(from.at(1).ip_blocks == Texts{"10.0.0.0/8"});
  CHECK(from[1].not_ip_blocks == Texts{"10.1.0.0/16"});
  CHECK(policy.rules[0].to.at(0).ports == std::vector<uint16_t>{80});
  CHECK(policy.rules[0].to[0].not_ports == std::vector<uint16_t>{81});
  CHECK_FALSE(from[0].l7());
  CHECK_FALSE(policy.rules[0].to[0].l7());
}

TEST_CASE("hosts are exact or have a star at one end, in lower case and without the last dot") {
  CHECK(to("hosts: [Web.Shop., \"*.example.com\", \"web.*\", \"*\", \"[::1]\"]").hosts ==
        Texts{"web.shop", "*.example.com", "web.*", "*", "[::1]"});
  CHECK(to("notHosts: [a]").not_hosts == Texts{"a"});
  CHECK(to("hosts: [a]").l7());
}

TEST_CASE("methods, paths and gRPC calls are read with their twins") {
  const Match match =
      to("methods: [GET, \"P*\"], notMethods: [TRACE], paths: [/a, \"/b/*\", \"*\", /%7Cx, \"/.ht*\", "
         "\"/.*\"], notPaths: [/c], "
         "grpc: [shop.Cart/Add, \"shop.Cart/*\", \"*\"], notGrpc: [shop.Cart/Drop]");
  CHECK(match.methods == Texts{"GET", "P*"});
  CHECK(match.not_methods == Texts{"TRACE"});
  CHECK(match.paths == Texts{"/a", "/b/*", "*", "/%7Cx", "/.ht*", "/.*"});
  CHECK(match.not_paths == Texts{"/c"});
  CHECK(match.grpc == Texts{"shop.Cart/Add", "shop.Cart/*", "*"});
  CHECK(match.not_grpc == Texts{"shop.Cart/Drop"});
}

TEST_CASE("a condition names one header, whatever its case, with values, forbidden values or both") {
  const auto policy = only<AuthorizationPolicy>(
      rule("when: [{header: X-Tenant, values: [blue, \"g*\"]}, {header: x-debug, notValues: [\"*\"]}]"));
  const auto& when = policy.rules.at(0).when;
  REQUIRE(when.size() == 2);
  REQUIRE(when[0].headers.size() == 1);
  CHECK(when[0].headers[0].name == "x-tenant");
  CHECK(when[0].headers[0].values == Texts{"blue", "g*"});
  CHECK(when[0].l7());
  CHECK(when[1].headers[0].values.empty());
  CHECK(when[1].headers[0].not_values == Texts{"*"});
}

TEST_CASE("what needs a token or the client's labels makes the policy invalid, never a condition less") {
  for (const auto& [body, field] :
       {std::pair<std::string, std::string>{"from: [{requestPrincipals: [x]}]",
                                            "spec.rules[0].from[0].requestPrincipals"},
        {"from: [{notRequestPrincipals: [x]}]", "spec.rules[0].from[0].notRequestPrincipals"},
        {"when: [{claim: aud, values: [x]}]", "spec.rules[0].when[0].claim"},
        {"when: [{sourceLabel: app, notValues: [x]}]", "spec.rules[0].when[0].sourceLabel"}}) {
    CAPTURE(body);
    const auto policy =
        only<AuthorizationPolicy>(authorization_policy("{action: Deny, rules: [{" + body + "}]}"));
    CHECK_THAT(policy.invalid, Catch::StartsWith(field + ": "));
    CHECK(policy.rules.empty());
    CHECK(policy.action == Action::deny);
  }
  CHECK_THAT(only<AuthorizationPolicy>(rule("from: [{requestPrincipals: [x]}]")).invalid,
             Catch::Contains("comes with RequestAuthentication"));
}

TEST_CASE("a pattern that could never match, and whatever else is no condition, is refused") {
  for (const auto& [body, says] : std::vector<std::pair<std::string, std::string>>{
           {"to: [{hosts: [\"web:80\"]}]", "to[0].hosts[0] is no host, without port"},
           {"to: [{hosts: [\"*.a.*\"]}]", "is no host"},
           {"to: [{hosts: [\"a b\"]}]", "is no host"},
           {"to: [{hosts: [\"*a.b\"]}]", "is no host"},
           {"to: [{hosts: [\"*.\"]}]", "is no host"},
           {"to: [{hosts: [\"[::1]:80\"]}]", "is no host"},
           {"from: [{principals: [\"spiffe://\"]}]", "principals[0] names nobody"},
           {"when: [{header: Te, values: [x]}]", "is a field of the connection"},
           {"to: [{hosts: []}]", "to[0].hosts is empty"},
           {"to: [{hosts: }]", "to[0].hosts is empty"},
           {"to: [{methods: [get]}]", "would never match: methods are written in upper case"},
           {"to: [{methods: [\"G T\"]}]", "is no method"},
           {"to: [{methods: [\"*T\"]}]", "may have a * only at its end"},
           {"to: [{paths: [admin]}]", "must start with /"},
           {"to: [{paths: [/a//b]}]", "is not how paths are compared: their normal form has no //"},
           {"to: [{paths: [/a/./b]}]", "has no /./"},
           {"to: [{paths: [/a/../b]}]", "has no /../"},
           {"to: [{paths: [/a/..]}]", "ends with a dot segment"},
           {"to: [{paths: [\"/a?b\"]}]", "has no ?"},
           {"to: [{paths: [\"/a#b\"]}]", "has no #"},
           {"to: [{paths: ['/a\\b']}]", "has %2F, %5C, %00 or \\"},
           {"to: [{paths: [/a%2fb]}]", "has %2F, %5C, %00 or"},
           {"to: [{paths: [/a%5Cb]}]", "has %2F, %5C, %00 or"},
           {"to: [{paths: [/a%00b]}]", "has %2F, %5C, %00 or"},
           {"to: [{paths: [\"/a/..;x\"]}]", "has a dot segment with a parameter"},
           {"to: [{paths: [\"/.;x/b*\"]}]", "has a dot segment with a parameter"},
           {"to: [{paths: [/%61]}]", "their normal form does not escape a"},
           {"to: [{paths: [/%zz]}]", "has a % that begins no escape"},
           {"to: [{paths: [/%4]}]", "has a % that begins no escape"},
           {"to: [{paths: [\"/\xc3\xa4\"]}]", "they are visible ASCII"},
           {"to: [{paths: [\"/*/b\"]}]", "may have a * only at its end"},
           {"to: [{grpc: [shop.Cart]}]", "must be package.Service/Method"},
           {"to: [{grpc: [/shop.Cart/Add]}]", "must be package.Service/Method"},
           {"to: [{grpc: [\"shop.*/Add\"]}]", "must be package.Service/Method"},
           {"to: [{grpcServices: [shop.Cart]}]", "grpcServices is not known"},
           {"to: [{}]", "to[0] says nothing"},
           {"from: [{namespaces: []}]", "from[0].namespaces is empty"},
           {"from: [{principals: }]", "from[0].principals is empty"},
           {"from: ", "from is empty"},
           {"when: [{values: [x]}]", "needs exactly one of header, claim, sourceLabel"},
           {"when: [{header: a, claim: b, values: [x]}]", "needs exactly one of"},
           {"when: [{header: a}]", "needs values or notValues"},
           {"when: [{header: \"a b\", values: [x]}]", "is no name such as x-version"},
           {"when: [{header: a, values: [\"x*y\"]}]", "may have a * only at its end"},
           {"when: []", "when is empty"},
       }) {
    CAPTURE(body);
    CHECK_THAT(refusal(rule(body)), Catch::Contains(says));
  }
}
