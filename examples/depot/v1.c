/* depot 1: a session is one function. */
#include "depot.h"

/* Sends a file from where `REST` said. */
void send_file(struct session *session, const char *name) {
  unsigned sum = 2166136261u;
  long moved = 0, got = -1;
  int file = is_name(name) ? openat(session->folder, name, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0 || lseek(file, session->rest, SEEK_SET) < 0) {
    reply(session, "550 no such file");
    if (file >= 0)
      close(file);
    return;
  }
  session->rest = 0;
  reply(session, "150 here it comes");
  int data = accept_data(session);
  while (data >= 0 && (got = read(file, session->chunk, CHUNK)) > 0) {
    if (!send_all(data, session->chunk, got))
      break;
    sum = add_to_sum(sum, session->chunk, got);
    moved += got;
    session->bytes += got;
  }
  close(data);
  close(file);
  if (got)
    reply(session, "426 broken off");
  else
    reply(session, "226 %ld bytes, sum %u", moved, sum);
}

/* Takes a file: anew, from where `REST` said, or at its end. */
void receive_file(struct session *session, const char *name, int is_appended) {
  unsigned sum = 2166136261u;
  long moved = 0, got = -1;
  int how = is_appended ? O_APPEND : session->rest ? 0 : O_TRUNC;
  int file = is_name(name) ? openat(session->folder, name, O_WRONLY | O_CREAT | O_CLOEXEC | how, 0644) : -1;
  if (file < 0 || lseek(file, session->rest, SEEK_SET) < 0) {
    reply(session, "550 no such file");
    if (file >= 0)
      close(file);
    return;
  }
  session->rest = 0;
  reply(session, "150 send it");
  int data = accept_data(session);
  while (data >= 0) {
    got = recv(data, session->chunk, CHUNK, 0);
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0 || write(file, session->chunk, got) != got)
      break;
    sum = add_to_sum(sum, session->chunk, got);
    moved += got;
    session->bytes += got;
  }
  close(data);
  close(file);
  if (got)
    reply(session, "426 broken off");
  else
    reply(session, "226 %ld bytes, sum %u", moved, sum);
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

void session(struct session *session) {
  static atomic_long served;
  char line[LINE_MAX_LEN];
  reply(session, "220 depot %d", VERSION);
  while (read_line(session, line)) {
    char *rest = cut_word(line);
    session->commands++;
    served++;
    if (!strcasecmp(line, "USER")) {
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
      break;
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
    } else if (!strcasecmp(line, "LIST") || !strcasecmp(line, "NLST")) {
      if (session->passive < 0)
        reply(session, "425 no data connection");
      else
        send_listing(session, !strcasecmp(line, "LIST"));
    } else if (!strcasecmp(line, "RETR") || !strcasecmp(line, "STOR") || !strcasecmp(line, "APPE")) {
      if (session->passive < 0)
        reply(session, "425 no data connection");
      else if (!strcasecmp(line, "RETR"))
        send_file(session, rest);
      else
        receive_file(session, rest, !strcasecmp(line, "APPE"));
    } else {
      reply(session, "500 what?");
    }
  }
}

static void *serve(void *argument) {
  struct session *own = argument;
  session(own);
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
