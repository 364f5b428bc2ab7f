/* A thread spins without a system call, its values in general, SSE, AVX and x87 registers only: all come back, and so do
 * the control words. */
#include "check.h"
#include <fenv.h>
#include <pthread.h>

static volatile int release;
static _Atomic int spinning;
static unsigned char in[16][32], out[16][32];
static long general[10];
static long double x87_in[4], x87_out[4];

/* Loads the registers, spins until `release`, stores them. One block: the compiler has no say in between. */
SEPARATE static void spin_avx(void) {
    __asm__ volatile("vmovdqu %c[o](%[in]), %%ymm3\n\tvmovdqu 32*9(%[in]), %%ymm9\n\tvmovdqu 32*15(%[in]), %%ymm15\n\t"
                     "mov $0x1111222233334444, %%r8\n\tmov $0x5555666677778888, %%r12\n\tmov $-3, %%r15\n\t"
                     "movl $1, (%[spinning])\n"
                     "1:\tpause\n\tcmpl $0, (%[release])\n\tje 1b\n\t"
                     "vmovdqu %%ymm3, %c[o](%[out])\n\tvmovdqu %%ymm9, 32*9(%[out])\n\tvmovdqu %%ymm15, 32*15(%[out])\n\t"
                     "mov %%r8, (%[general])\n\tmov %%r12, 8(%[general])\n\tmov %%r15, 16(%[general])\n\tvzeroupper"
                     :
                     : [in] "r"(in), [out] "r"(out), [release] "r"(&release), [spinning] "r"(&spinning),
                       [general] "r"(general), [o] "i"(32 * 3)
                     : "memory", "r8", "r12", "r15", "xmm3", "xmm9", "xmm15", "cc");
}

SEPARATE static void spin_sse(void) {
    __asm__ volatile("movdqu 32*3(%[in]), %%xmm3\n\tmovdqu 32*9(%[in]), %%xmm9\n\tmovdqu 32*15(%[in]), %%xmm15\n\t"
                     "movl $1, (%[spinning])\n"
                     "1:\tpause\n\tcmpl $0, (%[release])\n\tje 1b\n\t"
                     "movdqu %%xmm3, 32*3(%[out])\n\tmovdqu %%xmm9, 32*9(%[out])\n\tmovdqu %%xmm15, 32*15(%[out])"
                     :
                     : [in] "r"(in), [out] "r"(out), [release] "r"(&release), [spinning] "r"(&spinning)
                     : "memory", "xmm3", "xmm9", "xmm15", "cc");
}

SEPARATE static void spin_x87(void) {
    __asm__ volatile("fldt (%[in])\n\tfldt 16(%[in])\n\tfldt 32(%[in])\n\t"
                     "movl $2, (%[spinning])\n"
                     "1:\tpause\n\tcmpl $2, (%[release])\n\tjne 1b\n\t"
                     "fstpt 32(%[out])\n\tfstpt 16(%[out])\n\tfstpt (%[out])"
                     :
                     : [in] "r"(x87_in), [out] "r"(x87_out), [release] "r"(&release), [spinning] "r"(&spinning)
                     : "memory", "cc", "st", "st(1)", "st(2)");
}

static void *spinner(void *with_avx) {
    fesetround(FE_UPWARD);
    if (with_avx)
        spin_avx();
    else
        spin_sse();
    spin_x87();
    expect("rounding mode", FE_UPWARD, fegetround());
    return NULL;
}

int main(void) {
    pthread_t thread;
    int avx = __builtin_cpu_supports("avx") != 0;
    fill_pattern(in, sizeof in, 50);
    for (int i = 0; i < 3; i++)
        x87_in[i] = 1.0L / (i + 3);
    must_be_zero("pthread_create", pthread_create(&thread, NULL, spinner, avx ? (void *)in : NULL));
    while (spinning != 1)
        sched_yield();
    update_here();
    release = 1;
    while (spinning != 2)
        sched_yield();
    update_here();
    release = 2;
    must_be_zero("pthread_join", pthread_join(thread, NULL));
    size_t width = avx ? 32 : 16;
    int used[3] = {3, 9, 15};
    for (int i = 0; i < 3; i++) {
        expect_true("vector register", !memcmp(in[used[i]], out[used[i]], width));
        expect_true("x87 register", x87_in[i] == x87_out[i]);
    }
    if (avx) {
        expect("r8", 0x1111222233334444, general[0]);
        expect("r12", 0x5555666677778888, general[1]);
        expect("r15", -3, general[2]);
    }
    return finish();
}
