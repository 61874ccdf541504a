/**
 * The client as a Perl script: a shell script may call ssh hundreds of times,
 * and Perl is there in 3 ms where a JavaScript runtime takes 40. It uses no
 * module, so that perl-base will do.
 *
 * Like ssh it reads its input only when the other side is there to take it,
 * sets what is no terminal non-blocking while it runs, closes its output where
 * the remote command has closed its own, and exits with 255 on its own failure.
 *
 * @module
 */

/** A word for Perl that it reads as it is. */
function literal(text: string): string {
  return `'${text.replace(/[\\']/g, "\\$&")}'`;
}

/** The script, for one folder and its token. */
export function perlClient(
  perl: string,
  socket: string,
  token: string,
): string {
  return `#!${perl}\nmy ($path, $token) = (${literal(socket)}, ${
    literal(token)
  });\n${BODY}`;
}

const BODY = String.raw`
my $linux = $^O eq 'linux';
my $nonblock = $linux ? 2048 : 4;
my (@flags, $saved, $child, $log);
my ($in, $out) = (1, 1);
my ($refused, $said) = ('', 0);
$SIG{PIPE} = 'IGNORE';
# What was closed is where Perl has opened this script.
my @script = stat $0;
sub given { my @file = stat $_[0]; return @file && "@file[0, 1]" ne "@script[0, 1]" }
given(*STDIN) or open STDIN, '<', '/dev/null';
given(*STDOUT) or open STDOUT, '>', '/dev/null';
given(*STDERR) or open STDERR, '>', '/dev/null';

sub finish {
  kill 'TERM', $child if $child;
  system 'stty', $saved if defined $saved;
  fcntl $_->[0], 4, $_->[1] for @flags;
  exit $_[0];
}
sub drop {
  my ($handle) = @_;
  for (@flags) { fcntl $_->[0], 4, $_->[1] if $_->[0] eq $handle }
  close $handle;
}
sub fail {
  syswrite STDERR, "fakessh: $_[0]\r\n";
  finish(255);
}
sub dial {
  my $to = $linux ? pack('S a108', 1, $path) : pack('C C a104', 106, 1, $path);
  socket my $socket, 1, 1, 0 or fail("no socket: $!");
  connect $socket, $to or
    fail("the program that lends its connections is gone: $!");
  return $socket;
}
sub send_all {
  my ($to, $bytes) = @_;
  while (length $bytes) {
    my $n = syswrite $to, $bytes;
    if (defined $n) { substr $bytes, 0, $n, '' }
    elsif ($! != 4) { return 0 }
  }
  return 1;
}
sub size {
  my $size = "\0" x 8;
  return (0, 0) unless ioctl STDIN, $linux ? 0x5413 : 0x40087468, $size;
  return unpack 'SS', $size;
}
# As if it had been started elsewhere: without our terminal, what we ignore, and
# what else is open.
sub alone {
  setpgrp 0, 0;
  if (open my $tty, '<', '/dev/tty') {
    ioctl $tty, $linux ? 0x5422 : 0x20007471, 0;
  }
  $SIG{$_} = 'DEFAULT' for qw(INT QUIT HUP TERM TSTP TTIN TTOU);
  for my $n (3 .. 255) { open my $other, '<&=', $n and close $other }
}
# Runs a command with our own streams, but for its errors: those come by here,
# so that their end is noticed.
sub run {
  my ($how, @command) = @_;
  fcntl $_->[0], 4, $_->[1] for grep { $_->[0] ne *STDERR } @flags;
  pipe $log, my $errors or fail("no pipe: $!");
  $SIG{CHLD} = sub {};
  $child = fork;
  defined $child or fail("no process: $!");
  if (!$child) {
    $SIG{PIPE} = 'DEFAULT';
    open STDIN, '<', '/dev/null' if $how =~ /n/;
    open STDERR, '>&', $errors;
    alone() if $how =~ /h/;
    exec { $command[0] } @command;
    syswrite STDERR, "fakessh: cannot run $command[0]: $!\r\n";
    kill 'KILL', $$;
  }
  close $errors;
  # What is its own alone it can close.
  if ($how =~ /h/) { close STDIN; close STDOUT }
  ($in, $out) = (0, 0) if $how =~ /h/;
}
sub again { return $! == 4 || $! == 11 || $! == 35 }

for my $name (qw(INT TERM HUP QUIT)) {
  $SIG{$name} = sub { finish(255) } if ($SIG{$name} || '') ne 'IGNORE';
}
my $mux =
  qr/\A(?:mux_client_request_session: session request failed|kex_\w+): /;
my $resized;
my @tty = map { -t $_ ? 1 : 0 } *STDIN, *STDOUT, *STDERR;
my $id = sprintf '%016x%08x%08x', $$, rand 2**32, rand 2**32;
my ($control, $data) = (dial(), dial());
# Ahead of the greeting, so that no change goes unnoticed after it.
$SIG{WINCH} = sub { $resized = 1 } if $tty[0];
my @env = map { "$_=$ENV{$_}" }
  grep { /^(?:LANG|LC_\w+|TERM|COLORTERM|NO_COLOR|GIT_PROTOCOL)$/ } keys %ENV;
my $hello = join "\0", join('', @tty) . " $>", size(), scalar @env, @env, @ARGV;
send_all($data, "D$token$id");
send_all($control, "C$token$id" . pack 'a N/a*', 'H', $hello) or
  fail('the program that lends its connections is gone');

for my $i (0 .. 2) {
  next if $tty[$i];
  my $handle = (*STDIN, *STDOUT, *STDERR)[$i];
  my $flags = fcntl $handle, 3, 0 or next;
  push @flags, [$handle, $flags + 0];
}
fcntl $_->[0], 4, $_->[1] | $nonblock for @flags;
fcntl $data, 4, $nonblock;

my ($fc, $fd) = (fileno $control, fileno $data);
my ($frames, $up, $down, $err, $exit) = ('', '', '', '');
my ($reading, $linked) = (0, 1);
# A signal just ahead of select() does not end it, and stty sends two in a row.
my $patience = $tty[0] ? 0.2 : undef;
for (;;) {
  if ($child && !$log && waitpid($child, 1) == $child) {
    $child = 0;
    fcntl $_->[0], 4, $_->[1] | $nonblock for @flags;
    send_all($control, pack 'a N/a*', 'D', chr($? & 127 ? 255 : $? >> 8) . $refused);
  }
  if ($resized) {
    $resized = 0;
    send_all($control, pack 'a N/a*', 'Z', join ' ', size());
  }
  if (!$linked && $down eq '' && $out) { drop(*STDOUT); $out = 0 }
  finish($exit) if defined $exit && !$linked && $down eq '' && $err eq '';
  my ($r, $w) = ('', '');
  vec($r, $fc, 1) = 1 if !defined $exit && length $err < 65536;
  vec($r, $fd, 1) = 1 if $linked && $down eq '';
  vec($r, 0, 1) = 1 if $reading && $in && $up eq '';
  vec($w, $fd, 1) = 1 if $up ne '';
  vec($w, 1, 1) = 1 if $down ne '';
  vec($w, 2, 1) = 1 if $err ne '';
  vec($r, fileno $log, 1) = 1 if $log && length $err < 65536;
  my $wait = $child && !$log ? 0.05 : $patience;
  next if select($r, $w, undef, $wait) <= 0;
  if ($log && vec $r, fileno $log, 1) {
    my $n = sysread $log, my $more, 65536;
    if (defined $n ? $n == 0 : !again()) { close $log; undef $log }
    elsif ($n) {
      # What ssh says itself then is for us; it says that first.
      $refused = 'r' if !$said && $more =~ $mux;
      $said = 1;
      $err .= $more unless $refused;
    }
  }
  if (vec $w, 1, 1) {
    my $n = syswrite STDOUT, $down;
    if (defined $n) { substr $down, 0, $n, '' }
    elsif (!again()) {
      $down = '';
      drop(*STDOUT) if $out;
      $out = 0;
      send_all($control, pack 'a N/a*', 'P', '');
    }
  }
  if (vec $w, 2, 1) {
    my $n = syswrite STDERR, $err;
    if (defined $n) { substr $err, 0, $n, '' }
    elsif (!again()) { $err = '' }
  }
  if (vec $w, $fd, 1) {
    my $n = syswrite $data, $up;
    if (defined $n) { substr $up, 0, $n, '' }
    elsif (!again()) { $up = ''; $in = 0 }
  }
  if (vec $r, $fd, 1) {
    my $n = sysread $data, $down, 131072;
    $linked = 0 if defined $n ? $n == 0 : !again();
    $down = '' if !$out;
  }
  if (vec $r, 0, 1) {
    my $n = sysread STDIN, $up, 131072;
    if (defined $n ? $n == 0 : !again()) { $in = 0; shutdown $data, 1 }
  }
  next unless vec $r, $fc, 1;
  my $n = sysread $control, $frames, 65536, length $frames;
  next if !defined $n && again();
  fail('the program that lends its connections has gone') unless $n;
  while (length $frames >= 5) {
    my ($kind, $size) = unpack 'a N', $frames;
    last if length $frames < 5 + $size;
    my $body = substr $frames, 5, $size;
    substr $frames, 0, 5 + $size, '';
    if ($kind eq 'E') { $err .= $body }
    elsif ($kind eq 'X') { $exit = unpack 'C', $body }
    elsif ($kind eq 'R') { run(split /\0/, $body, -1) }
    elsif ($kind eq 'W') { $in = 0; $up = ''; drop(*STDIN) unless $tty[0] }
    elsif ($kind eq 'G') {
      $reading = 1;
      if ($body eq 'r' && $tty[0]) {
        chomp($saved = qx(stty -g));
        system 'stty', 'raw', '-echo';
      }
    }
  }
}
`;
