#pragma once
// IP addresses, socket addresses and prefixes as values. IPv4 is held as v4-mapped IPv6, so that a dual-stack
// listener's peers, the BPF maps (bpf/abi.h) and the snapshot's indexes all use one form; text and sockaddr give the
// family back. Thread: values.
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <compare>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

namespace weir {

class Ip {
 public:
  constexpr Ip() = default;  // ::
  static std::optional<Ip> parse(std::string_view text);
  static Ip from_v4(in_addr address);
  static Ip from_v6(const in6_addr& address);
  static std::optional<Ip> from_bytes(std::string_view bytes);  // 4 or 16 bytes, network order

  bool is_v4() const;           // ::ffff:a.b.c.d
  bool is_unspecified() const;  // :: or 0.0.0.0
  bool is_loopback() const;     // 127/8 or ::1
  bool is_link_local() const;   // 169.254/16 or fe80::/10
  bool is_multicast() const;    // 224/4 or ff00::/8
  // Whether it can be a pod's, a node's or a service's: it names one host, and another than whoever says it.
  bool names_a_host() const { return !is_unspecified() && !is_loopback() && !is_multicast(); }
  const std::array<uint8_t, 16>& bytes() const { return bytes_; }
  std::string to_string() const;  // "10.0.0.1", "fd00::1"
  std::string to_wire() const;    // 4 or 16 bytes, as mesh.proto carries it

  auto operator<=>(const Ip&) const = default;

 private:
  std::array<uint8_t, 16> bytes_{};
};

struct SocketAddress {
  Ip ip;
  uint16_t port = 0;

  static std::optional<SocketAddress> parse(std::string_view text);  // "1.2.3.4:80", "[::1]:80"
  static std::optional<SocketAddress> from_sockaddr(const sockaddr* address, socklen_t length);
  // Writes AF_INET for v4 addresses, or AF_INET6 with a v4-mapped address when `as_v6`; returns the length.
  socklen_t to_sockaddr(sockaddr_storage& out, bool as_v6 = false) const;
  std::string to_string() const;

  auto operator<=>(const SocketAddress&) const = default;
};

struct Prefix {
  Ip ip;
  uint8_t bits = 128;  // on the 128-bit form: 10.0.0.0/8 has 104

  static std::optional<Prefix> parse(
      std::string_view text);  // "10.0.0.0/8", "fd00::/8", a bare address is /32 or /128
  bool contains(const Ip& address) const;
  std::string to_string() const;
};

}  // namespace weir

template <>
struct std::hash<weir::Ip> {
  size_t operator()(const weir::Ip& ip) const noexcept;
};
template <>
struct std::hash<weir::SocketAddress> {
  size_t operator()(const weir::SocketAddress& a) const noexcept {
    return std::hash<weir::Ip>()(a.ip) * 0x9E3779B97F4A7C15ULL + a.port;
  }
};
