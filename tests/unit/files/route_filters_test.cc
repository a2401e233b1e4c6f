// The filters of routes, type by type.
#include "tests/unit/files/yaml.h"

using namespace weir::agent;

namespace {

using Texts = std::vector<std::string>;

std::string in_rule(const std::string& filters, const std::string& more = "") {
  return "{rules: [{" + more + "filters: [" + filters + "]}]}";
}
Filters read(const std::string& filters, const std::string& more = "") {
  return only<HttpRoute>(http_route(in_rule(filters, more))).spec.rules.at(0).filters;
}
std::string redirect(const std::string& body) {
  return "{type: RequestRedirect, requestRedirect: {" + body + "}}";
}
std::string rewrite(const std::string& body) { return "{type: URLRewrite, urlRewrite: {" + body + "}}"; }
std::string mirror(const std::string& body) { return "{type: RequestMirror, requestMirror: {" + body + "}}"; }
std::string cors(const std::string& body) { return "{type: CORS, cors: {" + body + "}}"; }
std::string request(const std::string& body) {
  return "{type: RequestHeaderModifier, requestHeaderModifier: {" + body + "}}";
}

}  // namespace

TEST_CASE("headers of requests and answers are set, added and removed, the first of a name counts") {
  const Filters got =
      read(request("set: [{name: X-A, value: a}, {name: x-a, value: b}], add: [{name: X-B, value: 'b, c'}], "
                   "remove: [X-C]") +
           ", {type: ResponseHeaderModifier, responseHeaderModifier: {remove: [Server, server]}}");
  REQUIRE(got.request_headers);
  REQUIRE(got.request_headers->set.size() == 1);
  CHECK(got.request_headers->set[0].name == "X-A");
  CHECK(got.request_headers->set[0].value == "a");
  CHECK(got.request_headers->add.at(0).value == "b, c");
  CHECK(got.request_headers->remove == Texts{"X-C"});
  REQUIRE(got.response_headers);
  CHECK(got.response_headers->remove == Texts{"Server"});
}

TEST_CASE("a redirect changes scheme, host, path, port and status") {
  const auto got = *read(redirect("scheme: https, hostname: example.org, port: 8443, statusCode: 308, "
                                  "path: {type: ReplaceFullPath, replaceFullPath: /new}"))
                        .redirect;
  CHECK(got.scheme == "https");
  CHECK(got.hostname == "example.org");
  CHECK(got.port == 8443);
  CHECK(got.status == 308);
  REQUIRE(got.path);
  CHECK_FALSE(got.path->prefix);
  CHECK(got.path->value == "/new");
  CHECK(read(redirect("port: 1")).redirect->status == 0);
}

TEST_CASE("a rewrite changes host and path, and a prefix is put in without its last slash") {
  const std::string match = "matches: [{path: {value: /a}}], ";
  const auto prefix = [&](const std::string& value) {
    return read(rewrite("path: {type: ReplacePrefixMatch, replacePrefixMatch: " + value + "}"), match)
        .rewrite->path->value;
  };
  CHECK(read(rewrite("hostname: a.b")).rewrite->hostname == "a.b");
  CHECK(prefix("/xyz") == "/xyz");
  CHECK(prefix("/xyz/") == "/xyz");
  CHECK(prefix("/") == "/");
  CHECK(prefix("''") == "/");
}

TEST_CASE("requests are mirrored whole, by percentage or by fraction") {
  const auto got =
      read(mirror("backendRef: {name: a, port: 80}") + ", " +
           mirror("backendRef: {name: b, namespace: n, port: 81}, percent: 42") + ", " +
           mirror("backendRef: {name: c, port: 82}, fraction: {numerator: 5}") + ", " +
           mirror("backendRef: {name: d, port: 83}, fraction: {numerator: 1, denominator: 1000}"))
          .mirrors;
  REQUIRE(got.size() == 4);
  CHECK(got[0].backend.key() == ObjectName{"shop", "a"});
  CHECK(got[0].numerator == got[0].denominator);
  CHECK(got[1].backend.key() == ObjectName{"n", "b"});
  CHECK(got[1].backend.port == 81);
  CHECK(got[1].numerator == 42);
  CHECK(got[1].denominator == 100);
  CHECK(got[2].denominator == 100);
  CHECK(got[3].denominator == 1000);
}

TEST_CASE("cross-origin rules are read, each list with its star alone") {
  const auto got =
      *read(cors("allowOrigins: ['https://*.example.com:8443', 'http://a'], allowMethods: [GET, PUT], "
                 "allowHeaders: [X-A], exposeHeaders: [X-B, X-C], allowCredentials: true, maxAge: 60"))
           .cors;
  CHECK(got.allow_origins == Texts{"https://*.example.com:8443", "http://a"});
  CHECK(got.allow_methods == Texts{"GET", "PUT"});
  CHECK(got.allow_headers == Texts{"X-A"});
  CHECK(got.expose_headers == Texts{"X-B", "X-C"});
  CHECK(got.allow_credentials);
  CHECK(got.max_age_seconds == 60);
  const auto all = *read(cors("allowOrigins: ['*'], allowMethods: ['*'], allowHeaders: ['*']")).cors;
  CHECK(all.allow_methods == Texts{"*"});
  CHECK(all.max_age_seconds == 0);
}

TEST_CASE("a filter that Weir has not is remembered, for it must not be skipped") {
  const Filters got =
      read(request("set: [{name: a, value: b}]") +
           ", {type: ExtensionRef, extensionRef: {group: example.com, kind: Auth, name: mine}}");
  CHECK(got.request_headers);
  CHECK(got.unsupported == "spec.rules[0].filters[1]: Weir knows no Auth of example.com (ExtensionRef mine)");
  CHECK_THAT(read("{type: ExternalAuth, externalAuth: {protocol: HTTP, any: thing}}").unsupported,
             Catch::Contains("there is no ExternalAuth in Weir"));
}

TEST_CASE("backends have filters of their own, and gRPC has only some") {
  const auto backend = only<HttpRoute>(http_route("{rules: [{backendRefs: [{name: a, port: 80, filters: [" +
                                                  request("remove: [x]") + "]}]}]}"))
                           .spec.rules.at(0)
                           .backends.at(0);
  CHECK(backend.filters.request_headers->remove == Texts{"x"});
  CHECK(refusal(grpc_route(in_rule(request("remove: [x]") + ", " +
                                   mirror("backendRef: {name: a, port: 1}")))) == "accepted");
  CHECK_THAT(refusal(grpc_route(in_rule(redirect("port: 1")))),
             Catch::Contains("type is 'RequestRedirect', must be one of: RequestHeaderModifier, "
                             "ResponseHeaderModifier, RequestMirror, ExtensionRef"));
}

TEST_CASE("filters that are malformed, repeated or exclude each other are refused") {
  const std::string set = "set: [{name: a, value: b}]";
  const std::string replace = "path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}";
  for (const auto& [spec, says] : std::vector<std::pair<std::string, std::string>>{
           {in_rule("{type: Compress}"),
            "filters[0].type is 'Compress', must be one of: RequestHeaderModifier"},
           {in_rule("{cors: {}}"), "filters[0].type is missing"},
           {in_rule("{type: CORS}"), "filters[0].cors is missing"},
           {in_rule("{type: CORS, cors: {}, urlRewrite: {}}"), "urlRewrite does not belong to type CORS"},
           {in_rule("{type: CORS, cors: {}, gzip: {}}"), "gzip is not known"},
           {in_rule(request(set) + ", " + request(set)), "filters[1] is a second RequestHeaderModifier"},
           {in_rule(redirect("port: 1") + ", " + redirect("port: 2")), "is a second RequestRedirect"},
           {in_rule(redirect("port: 1") + ", " + rewrite("hostname: a")),
            "filters have RequestRedirect and URLRewrite, which exclude each other"},
           {in_rule(redirect("port: 1"), "backendRefs: [{name: a, port: 80}], "),
            "backendRefs and the filter RequestRedirect exclude each other"},
           {in_rule(rewrite(replace), "matches: [{path: {value: /a}}, {path: {value: /b}}], "),
            "filters use ReplacePrefixMatch, which needs exactly one match, with a PathPrefix"},
           {in_rule(redirect(replace), "matches: [{path: {type: Exact, value: /a}}], "),
            "needs exactly one match"},
           {"{rules: [{matches: [{}, {}], backendRefs: [{name: a, port: 1, filters: [" + rewrite(replace) +
                "]}]}]}",
            "backendRefs use ReplacePrefixMatch"},
           {in_rule(request("set: [{name: a, value: b}], remove: [A]")),
            "remove[0] is edited in two ways: A"},
           {in_rule(request("set: [{name: a, value: b}], add: [{name: a, value: c}]")),
            "is edited in two ways"},
           {in_rule(request("set: [{name: Content-Length, value: '0'}]")),
            "is a field of the connection or the framing"},
           {in_rule(request("remove: [transfer-encoding]")), "is a field of the connection or the framing"},
           {in_rule(request("add: [{name: HOST, value: a}]")),
            "is Host, which is changed by URLRewrite.hostname"},
           {in_rule(request("set: [{name: a b, value: c}]")), "is no name such as x-version"},
           {in_rule(request("set: [{name: a, value: \"b\\r\\nc: d\"}]")), "must be printable ASCII"},
           {in_rule(request("set: [{name: a}]")), "set[0].value is missing"},
           {in_rule(redirect("scheme: ftp")), "must be one of: http, https"},
           {in_rule(redirect("statusCode: 305")), "must be one of: 301, 302, 303, 307, 308"},
           {in_rule(redirect("hostname: '*.a'")), "is no host name"},
           {in_rule(redirect("path: {type: ReplaceFullPath}")), "replaceFullPath is missing"},
           {in_rule(redirect("path: {type: ReplaceFullPath, replacePrefixMatch: /a}")),
            "is not what type says"},
           {in_rule(redirect("path: {replaceFullPath: /a}")), "path.type is missing"},
           {in_rule(rewrite("path: {type: ReplaceFullPath, replaceFullPath: a}")), "must start with /"},
           {in_rule(rewrite("path: {type: ReplaceFullPath, replaceFullPath: '/a b'}")), "has a character"},
           {in_rule(rewrite("path: {type: ReplaceFullPath, replaceFullPath: '/a?b'}")), "has a character"},
           {in_rule(mirror("percent: 1")), "backendRef is missing"},
           {in_rule(mirror("backendRef: {name: a}")), "backendRef.port is missing"},
           {in_rule(mirror("backendRef: {name: a, port: 1, weight: 2}")), "weight is not known"},
           {in_rule(mirror("backendRef: {name: a, port: 1}, percent: 101")),
            "percent must be a number from 0 to 100"},
           {in_rule(mirror("backendRef: {name: a, port: 1}, percent: 1, fraction: {numerator: 1}")),
            "fraction and percent exclude each other"},
           {in_rule(mirror("backendRef: {name: a, port: 1}, fraction: {numerator: 101}")),
            "numerator is more than the denominator"},
           {in_rule(mirror("backendRef: {name: a, port: 1}, fraction: {denominator: 5}")),
            "numerator is missing"},
           {in_rule(cors("allowOrigins: [example.com]")), "is no origin such as https://example.com"},
           {in_rule(cors("allowOrigins: ['https://a*.com']")), "is no origin"},
           {in_rule(cors("allowOrigins: ['https://a:99999']")), "is no origin"},
           {in_rule(cors("allowOrigins: ['https://a/b']")), "is no origin"},
           {in_rule(cors("allowOrigins: ['*', 'https://a']")), "allowOrigins has * beside others"},
           {in_rule(cors("allowMethods: ['*', GET]")), "allowMethods has * beside others"},
           {in_rule(cors("allowHeaders: ['*', a]")), "allowHeaders has * beside others"},
           {in_rule(cors("allowMethods: [SEND]")), "must be one of: GET"},
           {in_rule(cors("maxAge: 0")), "maxAge must be a number from 1"},
           {in_rule("{type: ExtensionRef, extensionRef: {group: a, name: b}}"), "kind is missing"},
       }) {
    CAPTURE(spec);
    CHECK_THAT(refusal(http_route(spec)), Catch::Contains(says));
  }
}
