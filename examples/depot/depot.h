/* What the versions of depot share: a session, its replies, its folder and its data connection. depot keeps files and hands them out over a
 * protocol of the FTP kind: a control connection with one command in a line, and a data connection for each transfer. */
#ifndef DEPOT_H
#define DEPOT_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_MAX_LEN = 256, NAME_MAX_LEN = 64, CHUNK = 16384, SEND_BUFFER = 65536, MOST_DESCRIPTORS = 1024 };

struct session {
  int control, passive; /* -1: nobody listens for a data connection */
  int used;             /* bytes of `input` */
  int is_in;            /* whether the password was right */
  long rest;            /* where the next transfer begins */
  long commands;
  long bytes;           /* moved by transfers, in both directions */
  char user[32];
  int folder;           /* where its files are */
  char folder_name[NAME_MAX_LEN];
  char input[2 * LINE_MAX_LEN];
  char chunk[CHUNK];    /* of a transfer */
};

/* Where the files are. */
static int root;

static inline void __attribute__((format(printf, 2, 3))) reply(struct session *session, const char *form, ...) {
  char text[LINE_MAX_LEN + 128];
  va_list list;
  va_start(list, form);
  int length = vsnprintf(text, sizeof text - 2, form, list);
  va_end(list);
  if (length > (int)sizeof text - 3)
    length = sizeof text - 3;
  memcpy(text + length, "\r\n", 2);
  for (int sent = 0; sent < length + 2;) {
    ssize_t more = send(session->control, text + sent, length + 2 - sent, MSG_NOSIGNAL);
    if (more < 0 && errno != EINTR)
      return;
    sent += more > 0 ? more : 0;
  }
}

/* Adds bytes to a sum (FNV-1a), which tells one content from another. */
static inline unsigned add_to_sum(unsigned sum, const char *bytes, long length) {
  for (long at = 0; at < length; at++)
    sum = (sum ^ (unsigned char)bytes[at]) * 16777619u;
  return sum;
}

/* Names are letters, digits, dots and dashes, and begin with no dot: no name leads out of the folder. */
static inline int is_name(const char *name) {
  if (name[0] == '.' || !name[0] || strlen(name) >= NAME_MAX_LEN)
    return 0;
  return name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-")] == '\0';
}

/* Goes into a folder, which is made if need be. */
int go_into(struct session *session, const char *name) {
  if (*name == '/')
    name++;
  if (*name && (!is_name(name) || (mkdirat(root, name, 0755) && errno != EEXIST)))
    return 0;
  int folder = openat(root, *name ? name : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0)
    return 0;
  close(session->folder);
  session->folder = folder;
  strcpy(session->folder_name, name);
  return 1;
}

int listen_at(int port, int *bound) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  socklen_t length = sizeof address;
  int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listener, (struct sockaddr *)&address, length) || listen(listener, 128) ||
      getsockname(listener, (struct sockaddr *)&address, &length)) {
    int reason = errno;
    close(listener);
    errno = reason;
    return -1;
  }
  *bound = ntohs(address.sin_port);
  return listener;
}

/* PASV: from now on somebody may open the data connection. */
void open_passive(struct session *session) {
  int port = 0;
  if (session->passive >= 0)
    close(session->passive);
  session->passive = listen_at(0, &port);
  if (session->passive < 0)
    reply(session, "425 no data connection: %s", strerror(errno));
  else
    reply(session, "227 entering passive mode (127,0,0,1,%d,%d)", port / 256, port % 256);
}

/* Waits for the data connection that PASV announced. */
static inline int accept_data(struct session *session) {
  int data, room = SEND_BUFFER;
  do
    data = accept(session->passive, NULL, NULL);
  while (data < 0 && errno == EINTR);
  close(session->passive);
  session->passive = -1;
  if (data >= 0)
    setsockopt(data, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  return data;
}

/* Sends all of it; 0 where the other side is gone. */
static inline int send_all(int data, const char *bytes, long length) {
  while (length > 0) {
    ssize_t sent = send(data, bytes, length, MSG_NOSIGNAL);
    if (sent < 0 && errno != EINTR)
      return 0;
    if (sent > 0) {
      bytes += sent;
      length -= sent;
    }
  }
  return 1;
}

struct session *new_session(int control) {
  struct session *session = calloc(1, sizeof *session);
  int one = 1;
  if (!session)
    abort();
  setsockopt(control, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  session->control = control;
  session->passive = -1;
  session->folder = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return session;
}

void end_session(struct session *session) {
  close(session->control);
  close(session->folder);
  if (session->passive >= 0)
    close(session->passive);
  free(session);
}

#endif
