// Rendered by godwit from godwit.yaml, for package sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08.
// Change godwit.yaml and render again rather than this file.

@description('The region of everything here.')
param location string = resourceGroup().location

@description('How long logs and requests are kept.')
param logRetentionInDays int = 30

@description('Where the Key Vaults are.')
param keyVaultResourceGroup string = resourceGroup().name

@description('The client id of the Entra application that callers ask tokens for.')
param authClientId string

// Names that the whole of Azure shares end in what no one else has.
var token = uniqueString(resourceGroup().id, 'fraud')
var appName = 'fraud-${token}'

// Azure's built-in roles, by their ids.
var roles = {
  keyVaultSecretsUser: '4633458b-17de-408a-b874-0445c86b69e6'
}

// Who the function is. No key or password is anywhere in these files.
resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: appName
  location: location
}

resource logs 'Microsoft.OperationalInsights/workspaces@2025-02-01' = {
  name: appName
  location: location
  properties: {
    sku: {
      name: 'PerGB2018'
    }
    retentionInDays: logRetentionInDays
  }
}

// A serverless GPU: nothing is paid for while no replica runs. Regions and quotas are few.
resource managedEnvironment 'Microsoft.App/managedEnvironments@2025-07-01' = {
  name: appName
  location: location
  properties: {
    workloadProfiles: [
      {
        name: 'Consumption'
        workloadProfileType: 'Consumption'
      }
      {
        name: 't4'
        workloadProfileType: 'Consumption-GPU-NC8as-T4'
      }
    ]
    // To the workspace, by the setting below and so without its key.
    appLogsConfiguration: {
      destination: 'azure-monitor'
    }
  }
}

resource logged 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: managedEnvironment
  name: 'logs'
  properties: {
    workspaceId: logs.id
    logs: [
      {
        categoryGroup: 'allLogs'
        enabled: true
      }
    ]
  }
}

module readsSecrets 'modules/vault-role.bicep' = {
  name: 'vault-role-readsSecrets'
  scope: resourceGroup(keyVaultResourceGroup)
  params: {
    vaultName: 'acme'
    identityId: identity.id
    principalId: identity.properties.principalId
    roleId: roles.keyVaultSecretsUser
  }
}

resource app 'Microsoft.App/containerApps@2025-07-01' = {
  name: 'fraud'
  location: location
  tags: {
    'godwit-package': 'sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'
  }
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identity.id}': {}
    }
  }
  properties: {
    environmentId: managedEnvironment.id
    workloadProfileName: 't4'
    configuration: {
      activeRevisionsMode: 'Single'
      // Who calls is checked in front of the container, by authentication below.
      ingress: {
        external: true
        targetPort: 8080
        transport: 'auto'
        allowInsecure: false
      }
      secrets: [
        {
          name: 'secret-1'
          keyVaultUrl: 'https://acme${environment().suffixes.keyvaultDns}/secrets/token'
          identity: identity.id
        }
      ]
    }
    template: {
      terminationGracePeriodSeconds: 30
      containers: [
        {
          name: 'fraud'
          image: 'registry.example.com/acme/fraud@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'
          resources: {
            cpu: 8
            memory: '56Gi'
          }
          env: [
            {
              // The server's life is as on Cloud Run: it listens on 8080 and drains after SIGTERM.
              name: 'GODWIT_TARGET'
              value: 'cloudrun'
            }
            {
              name: 'LEVEL'
              value: '1'
            }
            {
              name: 'TOKEN'
              secretRef: 'secret-1'
            }
          ]
          probes: [
            {
              // A machine with a GPU takes minutes, and a large model too.
              type: 'Startup'
              httpGet: {
                path: '/v2/health/ready'
                port: 8080
              }
              periodSeconds: 10
              failureThreshold: 60
            }
            {
              type: 'Readiness'
              httpGet: {
                path: '/v2/health/ready'
                port: 8080
              }
              periodSeconds: 5
            }
            {
              type: 'Liveness'
              httpGet: {
                path: '/v2/health/live'
                port: 8080
              }
              periodSeconds: 10
              timeoutSeconds: 5
              failureThreshold: 3
            }
          ]
        }
      ]
      scale: {
        minReplicas: 0
        maxReplicas: 3
      }
    }
  }
  dependsOn: [
    readsSecrets
  ]
}

// Callers without a token of this tenant for the application get 401.
resource authentication 'Microsoft.App/containerApps/authConfigs@2025-07-01' = {
  parent: app
  name: 'current'
  properties: {
    platform: {
      enabled: true
    }
    globalValidation: {
      unauthenticatedClientAction: 'Return401'
    }
    identityProviders: {
      azureActiveDirectory: {
        enabled: true
        registration: {
          clientId: authClientId
          openIdIssuer: '${environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0'
        }
        validation: {
          allowedAudiences: [
            authClientId
            'api://${authClientId}'
          ]
        }
      }
    }
  }
}

output AZURE_RESOURCE_GROUP string = resourceGroup().name
output FUNCTION_URL string = 'https://${app.properties.configuration.ingress.fqdn}'
