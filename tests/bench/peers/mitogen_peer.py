"""Figures of Debian's python3-mitogen. Reads the name of a figure a line, answers with a number."""
import os
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import mitogen.core
import mitogen.master
import mitogen.utils


def noop():
    return None


def echo(data):
    return data


def swallow(data):
    return len(data)


def resident():
    with open('/proc/self/status') as status:
        return [int(line.split()[1]) for line in status if line.startswith('VmRSS')][0] / 1024


def start():
    broker = mitogen.master.Broker()
    return broker, mitogen.master.Router(broker)


def stop(broker):
    broker.shutdown()
    broker.join()


def timed(run, count):
    times = []
    for _ in range(count):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return sorted(times)


def connect(router, count):
    def run():
        connect.last = router.local()
    return statistics.median(timed(run, count)) * 1e3


def first(router, count):
    def run():
        router.local().call(noop)
    return statistics.median(timed(run, count)) * 1e3


def figure(name):
    broker, router = start()
    try:
        if name == 'connect':
            return connect(router, 5)
        if name == 'first':
            return first(router, 5)
        if name == 'fifty':
            begin = time.perf_counter()
            with ThreadPoolExecutor(16) as pool:
                contexts = list(pool.map(lambda _: router.local(), range(50)))
            for reply in [context.call_async(noop) for context in contexts]:
                reply.get().unpickle()
            return time.perf_counter() - begin
        if name == 'hops':
            begin = time.perf_counter()
            context = router.local(via=router.local(via=router.local()))
            context.call(noop)
            return (time.perf_counter() - begin) * 1e3
        context = router.local()
        if name in ('hops_p50', 'stream_hops', 'idle_p50', 'loaded_p50', 'loaded_p99'):
            context = router.local(via=router.local(via=context))
        context.call(noop)
        if name in ('stream', 'stream_hops'):
            # It has no streams: messages of the size that its file service sends.
            data = os.urandom(1 << 17)
            begin = time.perf_counter()
            for reply in [context.call_async(swallow, data) for _ in range(512)]:
                reply.get().unpickle()
            return 64 / (time.perf_counter() - begin)
        if name == 'idle_p50':
            return statistics.median(timed(lambda: context.call(noop), 1000)) * 1e6
        if name in ('loaded_p50', 'loaded_p99'):
            # 50 MB a second, as far as it keeps up.
            data = os.urandom(1 << 17)
            replies, times = [], []
            begin = time.perf_counter()
            while time.perf_counter() - begin < 2:
                while len(replies) * len(data) < 50e6 * (time.perf_counter() - begin):
                    replies.append(context.call_async(swallow, data))
                before = time.perf_counter()
                context.call(noop)
                times.append(time.perf_counter() - before)
            for reply in replies:
                reply.get()
            times.sort()
            return times[int(len(times) * (0.99 if name == 'loaded_p99' else 0.5))] * 1e6
        if name in ('p50', 'p99', 'hops_p50'):
            times = timed(lambda: context.call(noop), 2000)
            return times[int(len(times) * (0.99 if name == 'p99' else 0.5))] * 1e6
        if name == 'pipelined':
            begin = time.perf_counter()
            for reply in [context.call_async(noop) for _ in range(2000)]:
                reply.get().unpickle()
            return 2000 / (time.perf_counter() - begin)
        if name == 'echo':
            data = os.urandom(1 << 20)
            context.call(echo, data)
            begin = time.perf_counter()
            for _ in range(16):
                assert len(context.call(echo, data)) == len(data)
            return 16 / (time.perf_counter() - begin)
        if name == 'resident':
            return context.call(resident)
    finally:
        stop(broker)


if __name__ == '__main__':
    mitogen.utils.log_to_file(level='CRITICAL')
    for line in sys.stdin:
        value = figure(line.strip())
        print('null' if value is None else repr(value), flush=True)
