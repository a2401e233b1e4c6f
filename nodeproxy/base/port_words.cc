// The words, and who says them. See port_words.h.
#include "nodeproxy/base/port_words.h"

#include <algorithm>
#include <array>
#include <cstddef>

namespace weir::ports {
namespace {

template <size_t N>
bool among(const std::array<std::string_view, N>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

constexpr std::array<std::string_view, 8> kHttp1{"http", "http1",    "http1.1", "kubernetes.io/ws",
                                                 "ws",   "http/1.1", "web",     "http1.0"};
constexpr std::array<std::string_view, 6> kHttp2{"http2", "h2c",      "kubernetes.io/h2c",
                                                 "grpc",  "grpc-web", "h2"};
constexpr std::array<std::string_view, 17> kOpaque{
    "tcp",      "tls",  "https", "kubernetes.io/wss", "wss",   "mysql", "mariadb", "redis", "mongo",
    "postgres", "smtp", "amqp",  "postgresql",        "kafka", "mqtt",  "ldap",    "ssh"};

// FTP, SSH, SMTP, POP3, IMAP, submission, MySQL, VNC (IANA).
constexpr std::array<uint16_t, 8> kServerFirst{21, 22, 25, 110, 143, 587, 3306, 5900};

// "http-web" says "http"; a name may also be the whole word with dashes ("grpc-web").
std::string_view first_word(std::string_view name) { return name.substr(0, name.find('-')); }

template <size_t N>
bool says(const std::array<std::string_view, N>& words, std::string_view app_protocol,
          std::string_view name) {
  if (!app_protocol.empty()) return among(words, app_protocol);
  return among(words, name) || among(words, first_word(name));
}

}  // namespace

Hint hint_of(std::string_view app_protocol, std::string_view port_name, uint16_t port) {
  if (says(kHttp1, app_protocol, port_name) || says(kHttp2, app_protocol, port_name)) return Hint::http;
  if (says(kOpaque, app_protocol, port_name)) return Hint::opaque;
  return std::find(kServerFirst.begin(), kServerFirst.end(), port) == kServerFirst.end() ? Hint::unknown
                                                                                         : Hint::opaque;
}

bool declared_h2(std::string_view app_protocol, std::string_view port_name) {
  return says(kHttp2, app_protocol, port_name);
}

}  // namespace weir::ports
