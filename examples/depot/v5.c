/* depot 5: a session is one function again, and one function moves files both ways. */
#include "depot.h"

enum { MOST_COMMANDS = 1000000000 };

/* A transfer that is under way. */
struct transfer {
  int file, data; /* `data` is -1 while it waits for its connection */
  int is_inwards;
  unsigned sum;
  long moved;
};

/* By the descriptors of control connections. */
static struct transfer transfers[MOST_DESCRIPTORS];

/* Begins a transfer of an open file; without a data connection it waits for one. */
void begin_transfer(int control, int file, int data, int is_inwards, long moved, unsigned sum) {
  transfers[control] = (struct transfer){file, data, is_inwards, sum, moved};
}

/* Opens the file of a transfer where `REST` said; 0 where there is nothing to transfer. */
static int open_transfer(struct session *session, const char *name, int is_inwards, int is_appended) {
  int how = !is_inwards ? O_RDONLY : O_WRONLY | O_CREAT | (is_appended ? O_APPEND : session->rest ? 0 : O_TRUNC);
  int file = is_name(name) ? openat(session->folder, name, how | O_CLOEXEC, 0644) : -1;
  if (file < 0 || lseek(file, session->rest, SEEK_SET) < 0) {
    reply(session, "550 no such file");
    if (file >= 0)
      close(file);
    return 0;
  }
  session->rest = 0;
  reply(session, is_inwards ? "150 send it" : "150 here it comes");
  begin_transfer(session->control, file, -1, is_inwards, 0, 2166136261u);
  return 1;
}

/* Moves what is left of a transfer, and tells what came of it. */
void transfer(struct session *session) {
  struct transfer *own = &transfers[session->control];
  long got = -1;
  if (own->data < 0)
    own->data = accept_data(session);
  while (own->data >= 0) {
    got = own->is_inwards ? recv(own->data, session->chunk, CHUNK, 0) : read(own->file, session->chunk, CHUNK);
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0)
      break;
    if (own->is_inwards ? write(own->file, session->chunk, got) != got : !send_all(own->data, session->chunk, got))
      break;
    own->sum = add_to_sum(own->sum, session->chunk, got);
    own->moved += got;
    session->bytes += got;
  }
  close(own->data);
  close(own->file);
  own->data = own->file = -1;
  if (got)
    reply(session, "426 broken off");
  else
    reply(session, "226 %ld bytes, sum %u", own->moved, own->sum);
}

/* Sends the names of the folder's files, with sizes if they are asked for. */
void send_listing(struct session *session, int has_sizes) {
  long count = 0;
  struct dirent *entry;
  struct stat about;
  int descriptor = openat(session->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *folder = descriptor < 0 ? NULL : fdopendir(descriptor);
  if (!folder) {
    reply(session, "550 no such folder");
    return;
  }
  reply(session, "150 here they come");
  int data = accept_data(session);
  while (data >= 0 && (entry = readdir(folder))) {
    if (!is_name(entry->d_name) || fstatat(dirfd(folder), entry->d_name, &about, 0))
      continue;
    int length = has_sizes ? snprintf(session->chunk, CHUNK, "%s %ld\r\n", entry->d_name, (long)about.st_size)
                           : snprintf(session->chunk, CHUNK, "%s\r\n", entry->d_name);
    if (!send_all(data, session->chunk, length))
      break;
    count++;
  }
  close(data);
  closedir(folder);
  reply(session, "226 %ld names", count);
}

/* Waits for a line and takes it out of what came; 0 where there will be no more. */
static int read_line(struct session *session, char *line) {
  char *end;
  while (!(end = memchr(session->input, '\n', session->used))) {
    if (session->used == sizeof session->input)
      return 0;
    ssize_t got = recv(session->control, session->input + session->used, sizeof session->input - session->used, 0);
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0)
      return 0;
    session->used += got;
  }
  int taken = end + 1 - session->input, length = taken - 1 < LINE_MAX_LEN ? taken - 1 : LINE_MAX_LEN - 1;
  memcpy(line, session->input, length);
  line[length] = '\0';
  line[strcspn(line, "\r")] = '\0';
  session->used -= taken;
  memmove(session->input, end + 1, session->used);
  return 1;
}

/* Cuts the command's word off its line; what is left is its argument. */
static char *cut_word(char *line) {
  char *rest = line + strcspn(line, " ");
  if (*rest)
    *rest++ = '\0';
  return rest;
}

/* SIZE: how long a file is. */
static void tell_size(struct session *session, const char *name) {
  struct stat about;
  if (is_name(name) && !fstatat(session->folder, name, &about, 0))
    reply(session, "213 %ld", (long)about.st_size);
  else
    reply(session, "550 no such file");
}

enum ending { NOT_YET, SAID_BYE, TOO_MUCH, GONE };

/* Up to `most` commands of a session. */
void converse(struct session *session, long most) {
  static atomic_long served, endings[4];
  char line[LINE_MAX_LEN], *rest;
  enum ending ending = NOT_YET;
  reply(session, "220 depot %d", VERSION);
  while (ending == NOT_YET && read_line(session, line)) {
    rest = cut_word(line);
    session->commands++;
    if (session->commands > most) {
      reply(session, "421 too much");
      ending = TOO_MUCH;
    } else if (!strcasecmp(line, "USER")) {
      snprintf(session->user, sizeof session->user, "%.31s", rest);
      session->is_in = 0;
      reply(session, "331 and the password?");
    } else if (!strcasecmp(line, "PASS")) {
      session->is_in = session->user[0] && !strncmp(rest, "of-", 3) && !strcmp(rest + 3, session->user);
      reply(session, session->is_in ? "230 come in" : "530 no");
    } else if (!strcasecmp(line, "NOOP")) {
      reply(session, "200 %s", rest);
    } else if (!strcasecmp(line, "STAT")) {
      reply(session, "211 depot %d: user %s, folder /%s, command %ld, %ld bytes, %ld served", VERSION, session->user, session->folder_name,
            session->commands, session->bytes, (long)served);
    } else if (!strcasecmp(line, "QUIT")) {
      reply(session, "221 bye");
      ending = SAID_BYE;
    } else if (!session->is_in) {
      reply(session, "530 who are you?");
    } else if (!strcasecmp(line, "CWD")) {
      reply(session, go_into(session, rest) ? "250 done" : "550 no such folder");
    } else if (!strcasecmp(line, "PWD")) {
      reply(session, "257 /%s", session->folder_name);
    } else if (!strcasecmp(line, "PASV")) {
      open_passive(session);
    } else if (!strcasecmp(line, "REST")) {
      session->rest = atol(rest);
      reply(session, "350 from %ld", session->rest);
    } else if (!strcasecmp(line, "SIZE")) {
      tell_size(session, rest);
    } else if (!strcasecmp(line, "LIST") || !strcasecmp(line, "NLST")) {
      if (session->passive < 0)
        reply(session, "425 no data connection");
      else
        send_listing(session, !strcasecmp(line, "LIST"));
    } else if (!strcasecmp(line, "RETR") || !strcasecmp(line, "STOR") || !strcasecmp(line, "APPE")) {
      if (session->passive < 0)
        reply(session, "425 no data connection");
      else if (open_transfer(session, rest, strcasecmp(line, "RETR"), !strcasecmp(line, "APPE")))
        transfer(session);
    } else {
      reply(session, "500 what?");
    }
    served++;
  }
  endings[ending == NOT_YET ? GONE : ending]++;
}

static void *serve(void *argument) {
  struct session *own = argument;
  converse(own, MOST_COMMANDS);
  end_session(own);
  return NULL;
}

int main(int count, char **arguments) {
  int port = 0;
  root = count > 2 ? open(arguments[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
  int listener = root < 0 ? -1 : listen_at(atoi(arguments[1]), &port);
  if (listener < 0) {
    fprintf(stderr, "usage: depot PORT FOLDER\n");
    return 1;
  }
  signal(SIGPIPE, SIG_IGN);
  printf("listening on 127.0.0.1:%d\n", port);
  fflush(stdout);
  for (;;) {
    pthread_t thread;
    int control = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (control < 0)
      continue;
    if (control >= MOST_DESCRIPTORS) {
      close(control);
      continue;
    }
    if (pthread_create(&thread, NULL, serve, new_session(control)))
      abort();
    pthread_detach(thread);
  }
}
