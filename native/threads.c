/* A pool of threads that share out the pieces of one loop at a time. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include "xbm.h"

struct Pool {
  int helpers;
  pthread_t *threads;
  pthread_mutex_t mutex;
  pthread_cond_t wake, done;
  Body body;
  void *data;
  long count;
  atomic_long next;
  /** Loops started so far; a helper joins each at most once, and only while it is open. */
  atomic_long generation;
  /** Helpers that joined and are not done: a loop does not wait for one that never got a processor. */
  atomic_int working;
  int stop, open;
};

/** Between the kernels of a step helpers look for work a little before they sleep: waking takes longer than most waits. */
#define SPINS 4000

static inline void pauseBriefly(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static _Thread_local struct { void *memory; size_t bytes; } own;

void *scratch(size_t bytes) {
  if (own.bytes < bytes) {
    free(own.memory);
    own.bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    own.memory = aligned_alloc(ALIGNMENT, own.bytes);
    if (!own.memory) {
      fprintf(stderr, "xbm: out of memory in the native engine; what the run saved is intact\n");
      abort();
    }
  }
  return own.memory;
}

static void work(struct Pool *pool) {
  for (;;) {
    long index = atomic_fetch_add(&pool->next, 1);
    if (index >= pool->count) return;
    pool->body(pool->data, index);
  }
}

static void *helper(void *argument) {
  struct Pool *pool = argument;
  long seen = 0;
  for (;;) {
    for (int i = 0; i < SPINS && atomic_load(&pool->generation) == seen; i++) pauseBriefly();
    pthread_mutex_lock(&pool->mutex);
    while (atomic_load(&pool->generation) == seen && !pool->stop) pthread_cond_wait(&pool->wake, &pool->mutex);
    int stop = pool->stop;
    seen = atomic_load(&pool->generation);
    const int joined = pool->open;
    if (joined) atomic_fetch_add(&pool->working, 1);
    pthread_mutex_unlock(&pool->mutex);
    if (stop) {
      free(own.memory);
      return NULL;
    }
    if (!joined) continue;
    work(pool);
    if (atomic_fetch_sub(&pool->working, 1) == 1) {
      pthread_mutex_lock(&pool->mutex);
      pthread_cond_signal(&pool->done);
      pthread_mutex_unlock(&pool->mutex);
    }
  }
}

struct Pool *poolCreate(int threads) {
  struct Pool *pool = calloc(1, sizeof *pool);
  if (!pool) return NULL;
  pthread_mutex_init(&pool->mutex, NULL);
  pthread_cond_init(&pool->wake, NULL);
  pthread_cond_init(&pool->done, NULL);
  pool->threads = calloc((size_t)maxLong(1, threads), sizeof(pthread_t));
  for (int i = 0; pool->threads && i < threads - 1; i++) {
    if (pthread_create(&pool->threads[i], NULL, helper, pool) != 0) break; // fewer threads compute the same
    pool->helpers++;
  }
  return pool;
}

void poolDestroy(struct Pool *pool) {
  if (!pool) return;
  pthread_mutex_lock(&pool->mutex);
  pool->stop = 1;
  pthread_cond_broadcast(&pool->wake);
  pthread_mutex_unlock(&pool->mutex);
  for (int i = 0; i < pool->helpers; i++) pthread_join(pool->threads[i], NULL);
  free(pool->threads);
  free(pool);
}

void parallel(struct Pool *pool, long count, Body body, void *data) {
  if (count <= 1 || pool->helpers == 0) {
    for (long i = 0; i < count; i++) body(data, i);
    return;
  }
  pthread_mutex_lock(&pool->mutex);
  pool->body = body;
  pool->data = data;
  pool->count = count;
  atomic_store(&pool->next, 0);
  pool->open = 1;
  atomic_fetch_add(&pool->generation, 1);
  pthread_cond_broadcast(&pool->wake);
  pthread_mutex_unlock(&pool->mutex);
  work(pool);
  pthread_mutex_lock(&pool->mutex);
  pool->open = 0;
  pthread_mutex_unlock(&pool->mutex);
  for (int i = 0; i < SPINS && atomic_load(&pool->working) > 0; i++) pauseBriefly();
  if (atomic_load(&pool->working) == 0) return;
  pthread_mutex_lock(&pool->mutex);
  while (atomic_load(&pool->working) > 0) pthread_cond_wait(&pool->done, &pool->mutex);
  pthread_mutex_unlock(&pool->mutex);
}
