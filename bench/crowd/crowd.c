/* crowd.c - the peers of a mail server under load, each one thread and one epoll loop, loopback only:
 *
 *   crowd dns                                   a name server on 127.0.0.1:53 (see answer() for its zone)
 *   crowd policy PORT                           a policy service that says DUNNO
 *   crowd sessions CONCURRENT TOTAL MESSAGES    sessions one after the other in so many places, from 127.1.0.0/16, each
 *                                               EHLO MAIL RCPT QUIT, with a message of 1 KB where MESSAGES is 1
 *   crowd mail RATE SECONDS                     so many messages a second, a session each, from 127.3.0.0/16
 *   crowd attack CONNECTIONS RATE TOTAL SECONDS a dictionary attack from 127.2.0.0/16: RCPTs of users that do not exist,
 *                                               RATE a second over all connections (0: as fast as replies come); a
 *                                               connection is opened anew after RCPTS of them, or a 421
 *   crowd tarpit CONNECTIONS SECONDS            clients from 127.4.0.0/16 whose every command is an error, each sent as
 *                                               soon as the reply to the one before is there; opened anew after a 421
 *
 * Clients print one line of JSON at the end. Of an attack, `refused` are 5xx replies, `failures` 4xx, 421 and connections
 * that ended in place of a reply. Of a tarpit, `done` are replies to errors, `refused` those that took over 0.9 seconds. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { RCPTS = 9, USERS = 10000, PLACES_MAX = 16384, SAMPLES_MAX = 1 << 20 };

static int loop;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void fail(const char *what) { perror(what); exit(1); }

/* ---- the name server ---- */

static int has_suffix(const char *name, const char *suffix) {
  size_t n = strlen(name), m = strlen(suffix);
  return n >= m && !strcasecmp(name + n - m, suffix);
}

/* d.c.b.a.in-addr.arpa is a-b-c-d.crowd.test, and that leads back; lists (….rbl.test) name nobody; all other names are
 * hosts at 192.0.2.1 without mail exchangers. Gives the record's data, or nothing where there is none. */
static size_t answer(const char *name, int type, unsigned char *data) {
  unsigned a, b, c, d;
  if (type == 12 && sscanf(name, "%u.%u.%u.%u.in-addr.arpa", &d, &c, &b, &a) == 4) {
    char host[64];
    int n = sprintf(host, "%u-%u-%u-%u", a, b, c, d);
    data[0] = n;
    memcpy(data + 1, host, n);
    memcpy(data + 1 + n, "\5crowd\4test", 12);
    return n + 13;
  }
  if (type != 1 || has_suffix(name, ".rbl.test")) return 0;
  if (sscanf(name, "%u-%u-%u-%u.crowd.test", &a, &b, &c, &d) == 4)
    data[0] = a, data[1] = b, data[2] = c, data[3] = d;
  else
    memcpy(data, "\xc0\0\2\1", 4);
  return 4;
}

static void serve_names(void) {
  int s = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(53), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, peer;
  if (bind(s, (void *)&at, sizeof at)) fail("bind 127.0.0.1:53");
  unsigned char q[2048], data[300];
  for (;;) {
    socklen_t length = sizeof peer;
    ssize_t n = recvfrom(s, q, 512, 0, (void *)&peer, &length);
    if (n < 17) continue;
    char name[300] = "";
    size_t i = 12, out = 0;
    while (i < (size_t)n && q[i] && i + q[i] < (size_t)n) {
      if (out) name[out++] = '.';
      memcpy(name + out, q + i + 1, q[i]);
      out += q[i];
      i += q[i] + 1;
    }
    name[out] = 0;
    if (i + 5 > (size_t)n) continue;
    size_t end = i + 5, size = answer(name, q[i + 1] << 8 | q[i + 2], data);
    q[2] = 0x85, q[3] = 0x80 | (has_suffix(name, ".rbl.test") ? 3 : 0);
    memset(q + 6, 0, 6); /* the question stays, what else the client sent (EDNS) goes */
    if (size) {
      q[7] = 1;
      unsigned char record[] = {0xc0, 12, q[i + 1], q[i + 2], 0, 1, 0, 0, 0, 60, size >> 8, size};
      memcpy(q + end, record, sizeof record);
      memcpy(q + end + sizeof record, data, size);
      end += sizeof record + size;
    }
    sendto(s, q, end, 0, (void *)&peer, length);
  }
}

/* ---- the policy service ---- */

struct asker { int fd; size_t n; char b[8192]; };

static void add(int fd, void *what) {
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = what};
  if (epoll_ctl(loop, EPOLL_CTL_ADD, fd, &e)) fail("epoll_ctl");
}

static void serve_policy(int port) {
  int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(s, (void *)&at, sizeof at) || listen(s, 1024)) fail("listen");
  add(s, NULL);
  struct epoll_event ev[256];
  for (;;) {
    int n = epoll_wait(loop, ev, 256, -1);
    for (int i = 0; i < n; i++) {
      struct asker *a = ev[i].data.ptr;
      if (!a) {
        int fd;
        while ((fd = accept4(s, 0, 0, SOCK_NONBLOCK)) >= 0) {
          setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
          a = calloc(1, sizeof *a);
          a->fd = fd;
          add(fd, a);
        }
        continue;
      }
      ssize_t r = read(a->fd, a->b + a->n, sizeof a->b - a->n);
      if (r <= 0) {
        if (r < 0 && errno == EAGAIN) continue;
        close(a->fd);
        free(a);
        continue;
      }
      a->n += r;
      if (a->n >= 2 && !memcmp(a->b + a->n - 2, "\n\n", 2)) {
        a->n = 0;
        if (write(a->fd, "action=DUNNO\n\n", 14) < 0) {}
      }
    }
  }
}

/* ---- clients ---- */

/* What a client waits for: the reply to this. */
enum step { GREETING, EHLO, MAIL, RCPT, DATA, CONTENT, QUIT, READY };

struct client {
  int fd, net, rcpts;
  enum step step;
  double began;
  size_t n;
  char b[1024];
};

static struct client places[PLACES_MAX];
static double samples[SAMPLES_MAX];
static long sampled, done, failures, refused, connections, open_now, users;
static unsigned sources;

/* Opens a connection from the next address of 127.NET.0.0/16. */
static void begin(struct client *c, int net, double began) {
  int on = 1;
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  c->net = net, c->rcpts = 0, c->step = GREETING, c->began = began, c->n = 0;
  unsigned source = sources++ % 65000 + 1;
  struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(127u << 24 | net << 16 | source)};
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(25), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (c->fd < 0 || bind(c->fd, (void *)&from, sizeof from)) fail("bind");
  if (connect(c->fd, (void *)&to, sizeof to) && errno != EINPROGRESS) fail("connect");
  connections++, open_now++;
  add(c->fd, c);
}

static void end(struct client *c) {
  close(c->fd);
  c->fd = -1;
  open_now--;
}

static void say(struct client *c, enum step step, const char *text, int length) {
  c->step = step;
  if (write(c->fd, text, length) < 0 && errno != EPIPE && errno != ECONNRESET) fail("write");
}

#define SAY(c, step, ...) do { char t[400]; say(c, step, t, snprintf(t, sizeof t, __VA_ARGS__)); } while (0)

static void rcpt(struct client *c, const char *user) {
  c->rcpts++;
  SAY(c, RCPT, "RCPT TO:<%s%ld@example.com>\r\n", user, users++ % USERS);
}

/* A message of 1 KB. */
static void content(struct client *c) {
  static char text[1100];
  static int length;
  if (!length) {
    length = sprintf(text, "From: sender@example.net\r\nSubject: crowd\r\nMessage-ID: <crowd@example.net>\r\n\r\n");
    while (length < 1024) length += sprintf(text + length, "%s\r\n", "0123456789012345678901234567890123456789012345678901234567890");
    length += sprintf(text + length, ".\r\n");
  }
  say(c, CONTENT, text, length);
}

static void sample(double seconds) {
  if (sampled < SAMPLES_MAX) samples[sampled++] = seconds;
}

/* The next word of an honest client; false at the end of its session. `messages`: it sends one. */
static int honest(struct client *c, int code, int messages) {
  switch (c->step) {
  case GREETING: SAY(c, EHLO, "EHLO client.example.net\r\n"); break;
  case EHLO: SAY(c, MAIL, "MAIL FROM:<sender%ld@example.net>\r\n", users % USERS); break;
  case MAIL: rcpt(c, "user"); break;
  case RCPT:
    if (messages && code == 250) SAY(c, DATA, "DATA\r\n");
    else {
      if (code != 250) failures++;
      SAY(c, QUIT, "QUIT\r\n");
    }
    break;
  case DATA: content(c); break;
  case CONTENT:
    if (code == 250) sample(now() - c->began); else failures++;
    SAY(c, QUIT, "QUIT\r\n");
    break;
  default: return 0;
  }
  return 1;
}

/* The next word of an attacker; false where it is time for another connection. */
static int attacker(struct client *c, int code) {
  switch (c->step) {
  case GREETING: SAY(c, EHLO, "EHLO attacker.example.net\r\n"); return 1;
  case EHLO: SAY(c, MAIL, "MAIL FROM:<sender@attacker.example>\r\n"); return 1;
  case RCPT:
    done++;
    if (code >= 500) refused++; else failures++;
    if (c->rcpts >= RCPTS) return 0;
    /* fall through */
  default: c->step = READY; return 1;
  }
}

/* Reads; gives the code of a reply that is complete, 0 where none is, -1 at the end. */
static int reply(struct client *c) {
  ssize_t r = read(c->fd, c->b + c->n, sizeof c->b - c->n);
  if (r <= 0) return r < 0 && errno == EAGAIN ? 0 : -1;
  c->n += r;
  char *line = c->b, *stop;
  while ((stop = memchr(line, '\n', c->b + c->n - line))) {
    if (stop - line > 3 && line[3] != '-') {
      c->n = 0;
      return atoi(line);
    }
    line = stop + 1;
  }
  c->n -= line - c->b;
  memmove(c->b, line, c->n);
  return 0;
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double quantile(double q) { return sampled ? samples[(long)((sampled - 1) * q)] * 1000 : 0; }

static void report(double began) {
  double seconds = now() - began;
  qsort(samples, sampled, sizeof *samples, ascending);
  printf("{\"done\": %ld, \"seconds\": %.3f, \"rate\": %.1f, \"failures\": %ld, \"refused\": %ld, \"connections\": %ld, "
         "\"samples\": %ld, \"p50_ms\": %.2f, \"p99_ms\": %.2f, \"max_ms\": %.2f}\n",
         done, seconds, done / seconds, failures, refused, connections, sampled, quantile(.5), quantile(.99), quantile(1));
  exit(0);
}

/* A fixed number of sessions at once, until all are done. */
static void sessions(long concurrent, long total, int messages) {
  double start = now();
  for (long i = 0; i < concurrent && i < total; i++) begin(&places[i], 1, now());
  struct epoll_event ev[256];
  while (done < total) {
    int n = epoll_wait(loop, ev, 256, 60000);
    if (n == 0) { fprintf(stderr, "no reply within a minute\n"); exit(1); }
    for (int i = 0; i < n; i++) {
      struct client *c = ev[i].data.ptr;
      int code = reply(c);
      if (code == 0 || (code > 0 && honest(c, code, messages))) continue;
      if (c->step != QUIT) failures++;
      end(c);
      done++;
      if (connections < total) begin(c, 1, now());
    }
  }
  report(start);
}

/* A session every 1 / rate seconds, whatever became of those before; times count from when it was due. */
static void mail(double rate, double seconds) {
  double start = now();
  long due = 0, all = rate * seconds;
  struct epoll_event ev[256];
  while (due < all || open_now) {
    double t = now() - start;
    for (int i = 0; i < PLACES_MAX && due < all && due <= t * rate; i++)
      if (places[i].fd < 0) begin(&places[i], 3, start + due++ / rate);
    int n = epoll_wait(loop, ev, 256, 1);
    for (int i = 0; i < n; i++) {
      struct client *c = ev[i].data.ptr;
      int code = reply(c);
      if (code == 0 || (code > 0 && honest(c, code, 1))) continue;
      if (c->step != QUIT) failures++;
      end(c);
      done++;
    }
    if (t > seconds + 60) { failures += open_now; break; }
  }
  report(start);
}

/* RCPTs at a rate over all connections, until `total` are answered or the time is over. */
static void attack(long count, double rate, long total, double seconds) {
  double start = now();
  long sent = 0, turn = 0;
  for (long i = 0; i < count; i++) begin(&places[i], 2, now());
  struct epoll_event ev[512];
  while (done < total && now() - start < seconds) {
    double allowed = rate > 0 ? (now() - start) * rate : 1e18;
    /* Whoever is ready takes what is due, each in its turn. */
    for (long i = 0; i < count && sent < allowed && sent < total; i++) {
      struct client *c = &places[(turn + i) % count];
      if (c->step != READY) continue;
      rcpt(c, "nobody");
      sent++;
      if (sent >= allowed) turn = (turn + i + 1) % count;
    }
    int n = epoll_wait(loop, ev, 512, 1);
    for (int i = 0; i < n; i++) {
      struct client *c = ev[i].data.ptr;
      int was_rcpt = c->step == RCPT, code = reply(c);
      if (code == 0 || (code > 0 && code != 421 && attacker(c, code))) continue;
      if (was_rcpt && (code < 0 || code == 421)) done++, failures++;
      end(c);
      begin(c, 2, now());
    }
  }
  report(start);
}

/* Clients that make nothing but errors; 2,000 a second come in until all are there. */
static void tarpit(long count, double seconds) {
  double start = now(), t;
  long opened = 0;
  struct epoll_event ev[512];
  while ((t = now() - start) < seconds) {
    for (; opened < count && opened < t * 2000; opened++) begin(&places[opened], 4, now());
    int n = epoll_wait(loop, ev, 512, 1);
    for (int i = 0; i < n; i++) {
      struct client *c = ev[i].data.ptr;
      int was_error = c->step == RCPT, code = reply(c);
      if (code == 0) continue;
      if (was_error && code > 0) {
        done++;
        if (now() - c->began > 0.9) refused++;
      }
      if (code < 0 || code == 421) {
        end(c);
        begin(c, 4, now());
        continue;
      }
      c->began = now();
      if (c->step == GREETING) SAY(c, EHLO, "EHLO pit.example.net\r\n");
      else SAY(c, RCPT, "NONSENSE\r\n");
    }
  }
  report(start);
}

int main(int argc, char **argv) {
  struct rlimit most = {20000, 20000};
  setrlimit(RLIMIT_NOFILE, &most);
  signal(SIGPIPE, SIG_IGN);
  loop = epoll_create1(0);
  for (int i = 0; i < PLACES_MAX; i++) places[i].fd = -1;
  const char *what = argc > 1 ? argv[1] : "";
  if (!strcmp(what, "dns") && argc == 2) serve_names();
  if (!strcmp(what, "policy") && argc == 3) serve_policy(atoi(argv[2]));
  if (!strcmp(what, "sessions") && argc == 5) sessions(atol(argv[2]), atol(argv[3]), atoi(argv[4]));
  if (!strcmp(what, "mail") && argc == 4) mail(atof(argv[2]), atof(argv[3]));
  if (!strcmp(what, "attack") && argc == 6) attack(atol(argv[2]), atof(argv[3]), atol(argv[4]), atof(argv[5]));
  if (!strcmp(what, "tarpit") && argc == 4) tarpit(atol(argv[2]), atof(argv[3]));
  fprintf(stderr, "usage: see the beginning of crowd.c\n");
  return 2;
}
