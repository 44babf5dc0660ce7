-- Ends a task that succeeded, as RQ 3.0's `handle_job_success` does for a job without dependents, and takes the next.
--
-- Invariant: the result, the status, the registries and the end of the execution change together or not at all; and an
-- execution ends once: when `wip` no longer holds it, somebody has settled it, and nothing is written.
--
-- ARGV: 1 id, 2 execution, 3 result (as RQ serializes it), 4 seconds the result is kept, 5 seconds it ran, 6 when it
-- started (Unix seconds), 7 whether to take the next ('1' or ''), 8 and on the parameters of that.
local p = parameters(8)
local id, execution, result_ttl = ARGV[1], ARGV[2], tonumber(ARGV[4])
local job = p.prefix .. ':job:' .. id
local composite = id .. ':' .. execution
local wip = p.prefix .. ':wip:' .. p.queue

if not redis.call('ZSCORE', wip, composite) then
  return { 'settled' }
end
if redis.call('EXISTS', job .. ':dependents') == 1 then
  return { 'dependents' }
end

redis.call('HSET', job, 'status', 'finished', 'ended_at', p.iso, 'last_heartbeat', p.iso)
redis.call('EXPIRE', job, result_ttl)
redis.call('EXPIRE', p.prefix .. ':job::' .. id .. ':dependencies', result_ttl)  -- two colons, as RQ writes it
local results = p.prefix .. ':results:' .. id
redis.call('XADD', results, 'MAXLEN', '~', 10, '*', 'type', '1', 'worker_name', p.worker, 'return_value', ARGV[3],
  'execution_id', execution, 'execution_started_at', ARGV[6], 'execution_ended_at', p.now)
redis.call('EXPIRE', results, result_ttl)
redis.call('ZADD', p.prefix .. ':finished:' .. p.queue, p.second + result_ttl, id)

redis.call('DEL', p.prefix .. ':execution:' .. composite)
redis.call('ZREM', wip, composite)
redis.call('ZREM', p.prefix .. ':executions:' .. id, execution)
local worker = p.prefix .. ':worker:' .. p.worker
redis.call('SREM', worker .. ':executions', composite)
redis.call('HINCRBY', worker, 'successful_job_count', 1)
redis.call('HINCRBYFLOAT', worker, 'total_working_time', ARGV[5])
tell(p, id, '{"status":"finished"}')

return { 'finished', ARGV[7] ~= '' and take(p) }
