import { Receiver, Router, type Sender } from "@mitogen/mitogen";

/** Sends its findings as it finds them. */
export function primes(upTo: number, sender: Sender<number>): void {
  for (let n = 2; n <= upTo; n++) {
    let d = 2;
    while (n % d !== 0) d++;
    if (d === n) sender.send(n);
  }
  sender.close();
}

if (import.meta.main) {
  await using router = new Router();
  const worker = await router.worker();
  using receiver = new Receiver<number>(router);
  await worker.call(primes, 30, receiver.toSender());
  for await (const prime of receiver) console.log(prime);
}
