-- Ends tasks that succeeded, as RQ 3.0's `handle_job_success` does for a job without dependents.
--
-- Invariant: the result, the status, the registries and the end of the execution change together or not at all; and an
-- execution ends once: when `wip` no longer holds it, somebody has settled it, and nothing is written.
--
-- `e` holds: id, execution, result (as RQ serializes it), ttl (seconds the result is kept), seconds it ran, began (Unix
-- seconds), has_dependencies.
local function finish(p, e)
  local job = p.prefix .. ':job:' .. e.id
  local composite = e.id .. ':' .. e.execution
  if redis.call('EXISTS', job .. ':dependents') == 1 then
    return redis.call('ZSCORE', p.wip, composite) and 'dependents' or 'settled'
  end
  if redis.call('ZREM', p.wip, composite) == 0 then
    return 'settled'
  end
  redis.call('HSET', job, 'status', 'finished', 'ended_at', p.iso, 'last_heartbeat', p.iso)
  redis.call('EXPIRE', job, e.ttl)
  if e.has_dependencies then
    redis.call('EXPIRE', p.prefix .. ':job::' .. e.id .. ':dependencies', e.ttl)  -- two colons, as RQ writes it
  end
  local results = p.prefix .. ':results:' .. e.id
  redis.call('XADD', results, 'MAXLEN', '~', 10, '*', 'type', '1', 'worker_name', p.worker, 'return_value', e.result,
    'execution_id', e.execution, 'execution_started_at', e.began, 'execution_ended_at', p.now)
  redis.call('EXPIRE', results, e.ttl)
  redis.call('ZADD', p.prefix .. ':finished:' .. p.queue, p.second + e.ttl, e.id)
  redis.call('DEL', p.prefix .. ':execution:' .. composite)
  redis.call('ZREM', p.prefix .. ':executions:' .. e.id, e.execution)
  redis.call('SREM', p.worker_key .. ':executions', composite)
  tell(p, e.id, '{"status":"finished"}')
  return 'finished'
end

-- Ends several, and returns how each was found.
local function finish_all(p, ends)
  local verdicts, count, seconds = {}, 0, 0
  for i, e in ipairs(ends) do
    verdicts[i] = finish(p, e)
    if verdicts[i] == 'finished' then
      count, seconds = count + 1, seconds + e.seconds
    end
  end
  if count > 0 then
    redis.call('HINCRBY', p.worker_key, 'successful_job_count', count)
    redis.call('HINCRBYFLOAT', p.worker_key, 'total_working_time', string.format('%.6f', seconds))
  end
  return verdicts
end
