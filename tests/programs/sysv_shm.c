/* System V shared memory: a removed segment with one attachment and no name, and one attached twice. */
#include "check.h"
#include <sys/mman.h>
#include <sys/shm.h>

int main(void) {
    struct shmid_ds status;
    int removed = (int)must("shmget", shmget(IPC_PRIVATE, 3 * 4096, IPC_CREAT | 0600));
    int twice = (int)must("shmget", shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600));
    char *first = shmat(removed, NULL, 0), *second = shmat(twice, NULL, 0), *third = shmat(twice, NULL, SHM_RDONLY);
    must("shmat", first == (void *)-1 || second == (void *)-1 || third == (void *)-1 ? -1 : 0);
    must("shmctl", shmctl(removed, IPC_RMID, NULL));
    must("shmctl", shmctl(twice, IPC_RMID, NULL));
    fill_pattern(first, 3 * 4096, 9);
    strcpy(second, "twice");
    update_here();
    expect_pattern("removed segment", first, 3 * 4096, 9);
    expect_text("through the other attachment", "twice", third);
    second[0] = 'T';
    expect_text("still one memory", "Twice", third);
    must("shmctl", shmctl(removed, IPC_STAT, &status));
    expect("attachments of the first", 1, (long long)status.shm_nattch);
    must("shmctl", shmctl(twice, IPC_STAT, &status));
    expect("attachments of the second", 2, (long long)status.shm_nattch);
    must("shmdt", shmdt(first));
    expect("the last one takes the segment with it", -1, shmctl(removed, IPC_STAT, &status));
    must("shmdt", shmdt(second));
    must("shmdt", shmdt(third));
    return finish();
}
